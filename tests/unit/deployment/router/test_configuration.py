from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from facemodels.deployment.router.configuration import configuration, generation
from facemodels.deployment.router.published import publish
from facemodels.deployment.router.routes import FlagRoute, Route, RouteArm, check
from facemodels.deployment.router.settings import RouterSettings, static_configuration
from facemodels.deployment.settings import Address, Environment
from facemodels.errors import InputError
from facemodels.serving.settings import Limits, Serving

SETTINGS = RouterSettings(port=8080)
OLD, NEW = "rec-facenet-v1.0.0", "rec-facenet-v2.0.0"
URL = "http://127.0.0.1:8001"
GOOD = Route(
    "recognition-facenet",
    "recognition",
    (RouteArm(OLD, 90, (URL,)), RouteArm(NEW, 10, ("http://127.0.0.1:8002",))),
    paths=("/api/embed", "/api/verify"),
    fallback=(OLD,),
)


@st.composite
def routes_of(draw: st.DrawFn) -> list[Route]:
    found = []
    models = {"detection-yolov8": "det-yolov8", "recognition-facenet": "rec-facenet"}
    chosen = draw(st.lists(st.sampled_from(sorted(models)), min_size=1, unique=True))
    for model in chosen:
        count = draw(st.integers(1, 4))
        cuts = sorted(draw(st.lists(st.integers(0, 100), min_size=count - 1, max_size=count - 1)))
        weights = [b - a for a, b in zip([0, *cuts], [*cuts, 100], strict=True)]
        arms = tuple(
            RouteArm(
                f"{models[model]}-v{n}.0.0",
                weight,
                tuple(
                    f"http://127.0.0.1:{8000 + 10 * n + m}" for m in range(draw(st.integers(1, 3)))
                ),
            )
            for n, weight in enumerate(weights)
        )
        ids = [arm.id for arm in arms]
        shadow = RouteArm(f"{models[model]}-v9.9.9", 0, ("http://127.0.0.1:9999",))
        value = draw(st.text(st.sampled_from("ab {}\"'\\.:;é`"), min_size=1).filter(_is_ascii))
        flags = (FlagRoute("f", value, draw(st.sampled_from(ids)), header="X-Beta"),)
        found.append(
            Route(
                model=model,
                task=model.partition("-")[0],
                arms=arms,
                paths=(f"/api/{model[:6]}",),
                mirror=draw(st.sampled_from([None, (shadow, 0), (shadow, 30), (arms[0], 100)])),
                sticky=draw(st.sampled_from(["", "facemodels"])),
                user_header=draw(st.sampled_from(["", "X-User-Id"])),
                flags=flags if draw(st.booleans()) else (),
                fallback=tuple(draw(st.lists(st.sampled_from(ids), unique=True))),
            )
        )
    return found


def _is_ascii(text: str) -> bool:
    return text.isascii() and "`" not in text


def _references(service: dict[str, Any]) -> Iterator[str]:
    ((kind, content),) = service.items()
    if kind == "weighted":
        yield from (one["name"] for one in content["services"])
    elif kind == "failover":
        yield from (content["service"], content["fallback"])
    elif kind == "mirroring":
        yield from (content["service"], *(one["name"] for one in content["mirrors"]))


@given(routes=routes_of())
def test_everything_that_is_named_exists_and_nothing_leads_to_itself(routes: list[Route]) -> None:
    http = configuration(routes, SETTINGS)["http"]
    services, middlewares, routers = http["services"], http["middlewares"], http["routers"]
    done: set[str] = set()

    def walk(name: str, above: tuple[str, ...]) -> None:
        assert name in services
        assert name not in above
        done.add(name)
        for below in _references(services[name]):
            walk(below, (*above, name))

    parents = {parent for one in routers.values() for parent in one.get("parentRefs", ())}
    for name, one in routers.items():
        assert ("service" in one) != (name in parents)
        if "service" in one:
            walk(one["service"], ())
        assert all(middleware in middlewares for middleware in one.get("middlewares", ()))
        assert one["rule"].count("`") % 2 == 0
        assert ("parentRefs" in one) or ("limit" in one["middlewares"])
    for service in services.values():
        balancer = service.get("loadBalancer", {"serversTransport": "servers"})
        assert balancer["serversTransport"] in http["serversTransports"]


@given(routes=routes_of())
def test_the_weights_of_a_model_are_those_of_its_arms(routes: list[Route]) -> None:
    services = configuration(routes, SETTINGS)["http"]["services"]
    for route in routes:
        listed = services[route.model]["weighted"]["services"]
        assert {one["name"].removesuffix(".safe"): one["weight"] for one in listed} == {
            arm.id: arm.weight for arm in route.arms if arm.weight
        }


@given(routes=routes_of())
def test_a_failed_request_meets_every_stand_in_once_and_in_order(routes: list[Route]) -> None:
    services = configuration(routes, SETTINGS)["http"]["services"]
    for route in routes:
        for arm in route.arms:
            met, name = [], f"{arm.id}.safe"
            while "failover" in services[name]:
                met.append(services[name]["failover"]["service"])
                name = services[name]["failover"]["fallback"]
            met.append(name if met else services[name]["weighted"]["services"][0]["name"])
            assert met == [arm.id, *(one for one in route.fallback if one != arm.id)]


@settings(max_examples=25, deadline=None)  # each is a write to the disk
@given(routes=routes_of())
def test_what_is_written_is_yaml_without_an_opened_template(
    tmp_path_factory: pytest.TempPathFactory, routes: list[Route]
) -> None:
    folder = tmp_path_factory.mktemp("routes")
    mark = publish(folder, routes, SETTINGS)
    text = (folder / "routes.yaml").read_text()
    assert "{{" not in text
    assert yaml.safe_load(text) == json.loads(text) == configuration(routes, SETTINGS)
    assert mark == generation(json.loads(text))


def test_different_routes_have_different_names() -> None:
    other = replace(GOOD, arms=(replace(GOOD.arms[0], weight=89), replace(GOOD.arms[1], weight=11)))
    names = {generation(configuration([one], SETTINGS)) for one in (GOOD, other, GOOD)}
    assert len(names) == 2


def test_where_no_server_is_ready_every_request_is_told_to_come_again() -> None:
    http = configuration([], SETTINGS)["http"]
    assert [one["rule"][:15] for one in http["routers"].values()] == ["(PathPrefix(`/`"]
    assert "services" not in http  # Traefik takes no empty element
    some = configuration([GOOD], SETTINGS, waiting=["detection-yolov8"])["http"]["routers"]
    assert "/models/detection-yolov8" in some["detection-yolov8.nobody"]["rule"]
    assert "nobody" not in some


def test_the_cookie_of_a_client_means_the_same_whatever_stands_in() -> None:
    """It holds a hash of the name below the weighted service."""
    for route in (GOOD, replace(GOOD, fallback=()), replace(GOOD, fallback=(NEW, OLD))):
        services = configuration([route], SETTINGS)["http"]["services"]
        names = [one["name"] for one in services[GOOD.model]["weighted"]["services"]]
        assert names == [f"{OLD}.safe", f"{NEW}.safe"]


def _with(**changes: Any) -> Route:
    return replace(GOOD, **changes)


@pytest.mark.parametrize(
    ("route", "words"),
    [
        (_with(arms=()), "sum to 0"),
        (_with(arms=(RouteArm(OLD, 99, (URL,)),)), "sum to 99"),
        (_with(arms=(RouteArm(OLD, 110, (URL,)), RouteArm(NEW, -10, (URL,)))), "110 %"),
        (_with(arms=(RouteArm(OLD, 100, ()),)), "no server"),
        (_with(arms=(RouteArm(OLD, 100, (URL, URL)),)), "twice"),
        (_with(arms=(RouteArm("rec-arcface-v1.0.0", 100, (URL,)),)), "not the id of one of its"),
        (_with(arms=(RouteArm("recognition-facenet-v1.0.0", 100, (URL,)),)), "not the id"),
        (_with(arms=(RouteArm("x", 100, (URL,)),)), "not a model id"),
        (_with(model="facenet"), "not a model name"),
        (_with(fallback=("rec-facenet-v7.0.0",)), "stand in"),
        (_with(mirror=(RouteArm("rec-facenet-v3.0.0", 0, ()), 10)), "copies"),
        (_with(mirror=(RouteArm("rec-facenet-v3.0.0", 0, (URL,)), 101)), "percentage"),
        (_with(mirror=(RouteArm(OLD, 0, ("http://127.0.0.1:9",)), 10)), "two sets"),
        (_with(paths=("api/embed",)), "no address"),
        (_with(paths=("/api/`embed",)), "no address"),
        (_with(sticky="a b"), "no name"),
        (_with(user_header="X-User`"), "no name"),
        (_with(flags=(FlagRoute("f", "1", "rec-facenet-v7.0.0", header="X"),)), "no server"),
        (_with(flags=(FlagRoute("f", "a`b", OLD, header="X"),)), "backtick"),
        (_with(flags=(FlagRoute("f", "", OLD, header="X"),)), "backtick"),
        (_with(flags=(FlagRoute("f", "1", OLD),)), "one header or one cookie"),
        (_with(flags=(FlagRoute("f", "1", OLD, header="X", cookie="y"),)), "one header or one"),
    ],
)
def test_routes_that_would_lose_requests_are_refused(route: Route, words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        configuration([route], SETTINGS)


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:80", "https://127.0.0.1:80", "http://127.0.0.1", "http://127.0.0.1:0",
     "http://127.0.0.1:80/", "http://127.0.0.1:99999", "http://u@127.0.0.1:80", "http://:80",
     "http://{{x}}:80", "http://127.0.0.1:80?x"],
)  # fmt: skip
def test_a_server_has_a_plain_base_address(url: str) -> None:
    with pytest.raises(InputError, match="http://host:port"):
        check([_with(arms=(RouteArm(OLD, 100, (url,)),), fallback=())])


@pytest.mark.parametrize("url", [URL, "http://localhost:1", "http://[::1]:65535"])
def test_a_plain_base_address_is_taken(url: str) -> None:
    check([_with(arms=(RouteArm(OLD, 100, (url,)),), fallback=())])


def test_two_routes_cannot_have_the_same_model_or_address() -> None:
    with pytest.raises(InputError, match="Model recognition-facenet has 2"):
        check([GOOD, GOOD])
    other = Route(
        "recognition-arcface", "recognition", (RouteArm("rec-arcface-v1.0.0", 100, (URL,)),)
    )
    with pytest.raises(InputError, match="Address /api/embed has 2"):
        check([GOOD, replace(other, paths=("/api/embed",))])
    with pytest.raises(InputError, match="default model recognition-x has no route"):
        check([GOOD, other], "recognition-x")


def test_only_the_inside_has_an_api_and_it_is_on_loopback(tmp_path: Path) -> None:
    config = static_configuration(replace(SETTINGS, host="192.0.2.1"), tmp_path, 80, 9000)
    assert config["entryPoints"]["web"]["address"] == "192.0.2.1:80"
    assert config["entryPoints"]["traefik"]["address"] == "127.0.0.1:9000"
    assert config["ping"]["entryPoint"] == "traefik"
    assert config["metrics"]["prometheus"]["entryPoint"] == "traefik"
    assert config["global"] == {"checkNewVersion": False, "sendAnonymousUsage": False}
    assert static_configuration(replace(SETTINGS, host="::1"), tmp_path, 80, 9)["entryPoints"][
        "web"
    ]["address"] == ("[::1]:80")


def test_an_environment_gives_the_router_its_limits() -> None:
    environment = Environment(
        address=Address(port=8443, host="10.0.0.1"), control=Address(port=1), hang_s=3
    )
    serving = Serving(limits=Limits(body_bytes=123, head_bytes=5000, body_s=90))
    limits = RouterSettings.of(environment, serving)
    assert (limits.host, limits.port) == ("10.0.0.1", 8443)
    assert (limits.body_bytes, limits.head_bytes, limits.answer_s) == (123, 5000, 11)
    assert limits.receive_s == 90  # as long as the servers wait for an upload
    http = configuration([GOOD], limits)["http"]
    assert http["middlewares"]["limit"]["buffering"]["maxRequestBodyBytes"] == 123
    timeouts = http["serversTransports"]["servers"]["forwardingTimeouts"]
    assert timeouts["responseHeaderTimeout"] == "11000ms"

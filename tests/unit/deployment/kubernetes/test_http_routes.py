"""HTTPRoutes: they fit the CRD with its CEL rules, and lead where Traefik's routes lead."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from tests.unit.deployment.kubernetes.cluster import FULL, faults, made, one, target
from tests.unit.deployment.plans import beside, rolled_out
from tests.unit.registry.conftest import V1, V2, V3

from facemodels.deployment.kubernetes.http_routes import model_route
from facemodels.deployment.kubernetes.plan import expressible, plan
from facemodels.deployment.kubernetes.target import Object, object_name
from facemodels.deployment.router.routes import Route, RouteArm
from facemodels.errors import InputError
from facemodels.registry.state import State

MODEL = "recognition-facenet"
FLAG = {"name": "early", "model_id": V3, "header": "X-Early", "value": "yes"}
COOKIE = {"name": "late", "model_id": V3, "cookie": "late", "value": "1"}


def routes(state: State, **settings: Any) -> list[Object]:
    found = made(state, target(FULL, **settings))
    return [o for o in found if o["kind"] == "HTTPRoute"]


def answer(found: list[Object], path: str, **headers: str) -> tuple[dict[str, int], str] | None:
    """Where a gateway sends a request: weights by Service, and the path that the server sees.

    Precedence is that of HTTPRouteRule.matches: the exact path, the longest prefix, the most
    headers, then the order of the rules. None stands for a rule without a backend, or no rule.
    """
    best: tuple[Any, Object, Object] | None = None
    for route in found:
        for rule in route["spec"]["rules"]:
            for match in rule["matches"]:
                if not _matches(match, path, {n.replace("_", "-"): v for n, v in headers.items()}):
                    continue
                kind, value = match["path"]["type"], match["path"]["value"]
                rank = (kind == "Exact", len(value.rstrip("/")), len(match.get("headers", [])))
                if best is None or rank > best[0]:
                    best = (rank, rule, match)
    if best is None or "backendRefs" not in best[1]:
        return None
    _, rule, match = best
    for part in rule.get("filters", ()):
        if part["type"] == "URLRewrite":
            rest = path[len(match["path"]["value"]) :].lstrip("/")
            path = part["urlRewrite"]["path"]["replacePrefixMatch"].rstrip("/") + (
                rest and f"/{rest}"
            )
    return {b["name"]: b.get("weight", 1) for b in rule["backendRefs"]}, path or "/"


def _matches(match: Object, path: str, headers: dict[str, str]) -> bool:
    value = match["path"]["value"].rstrip("/")
    if match["path"]["type"] == "Exact":
        fits = path == match["path"]["value"]
    else:
        fits = path == value or path.startswith(f"{value}/")
    return fits and all(_has(headers, one) for one in match.get("headers", ()))


def _has(headers: dict[str, str], wanted: Object) -> bool:
    value = headers.get(wanted["name"])
    if value is None:
        return False
    if wanted.get("type", "Exact") == "Exact":
        return value == wanted["value"]
    return re.fullmatch(wanted["value"], value) is not None


@pytest.mark.parametrize(
    ("percent", "strategy", "flags"),
    [
        (10, "canary", []),
        (20, "shadow", [FLAG]),
        (0, "blue-green", [COOKIE] + [{**FLAG, "value": str(n)} for n in range(5)]),
    ],
)
def test_routes_fit_the_schema_and_its_cel_rules(percent: int, strategy: str, flags: list) -> None:
    found = routes(rolled_out(percent, strategy).state, flags=flags)
    assert {one["metadata"]["name"]: faults(one) for one in found if faults(one)} == {}


def test_the_check_of_the_schema_finds_what_an_api_server_refuses() -> None:
    good = one(routes(rolled_out().state), "HTTPRoute", MODEL)

    def broken(*path: Any, value: Any = None) -> list[str]:
        route = copy.deepcopy(good)
        inner = route
        for key in path[:-1]:
            inner = inner[key]
        if value is None:
            del inner[path[-1]]
        else:
            inner[path[-1]] = value
        return faults(route)

    rules = ("spec", "rules")
    assert broken(*rules, 1, "backendRefs", 0, "port") != []
    assert broken(*rules, 1, "matches", 0, "path", "value", value="api") != []
    assert broken(*rules, 2, "matches", value=[{}, {}]) != []  # a rewrite has one prefix
    assert broken(*rules, 1, "timeouts", "request", value="15 s") != []
    assert broken("spec", "parentRefs", value=good["spec"]["parentRefs"] * 2) != []
    assert broken("spec", "wieghts", value=1) != []


SHARES = {object_name(V1): 90, object_name(V2): 10}


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        ("/api/embed", {}, (SHARES, "/api/embed")),
        ("/", {}, (SHARES, "/")),
        ("/openapi.json", {}, (SHARES, "/openapi.json")),
        (f"/models/{MODEL}/api/embed", {}, (SHARES, "/api/embed")),
        (f"/models/{MODEL}", {}, (SHARES, "/")),
        (f"/v2/models/{MODEL}/infer", {}, (SHARES, f"/v2/models/{MODEL}/infer")),
        # Nobody chooses a version, but by the address of the one that gets most requests.
        ("/api/embed", {"X_Facemodels_Version": V2}, (SHARES, "/api/embed")),
        (
            f"/v2/models/{MODEL}/versions/1.1.0/infer",
            {},
            (SHARES, f"/v2/models/{MODEL}/versions/1.1.0/infer"),
        ),
        (
            f"/v2/models/{MODEL}/versions/1.0.0/infer",
            {},
            ({object_name(V1): 1}, f"/v2/models/{MODEL}/versions/1.0.0/infer"),
        ),
        (
            f"/models/{MODEL}/v2/models/{MODEL}/versions/1.0.0/infer",
            {},
            ({object_name(V1): 1}, f"/v2/models/{MODEL}/versions/1.0.0/infer"),
        ),
        ("/api/embed", {"X_Early": "yes"}, ({object_name(V3): 1}, "/api/embed")),
        ("/api/embed", {"X_Early": "no"}, (SHARES, "/api/embed")),
        ("/api/embed", {"Cookie": "a=b; late=1; c=d"}, ({object_name(V3): 1}, "/api/embed")),
        ("/api/embed", {"Cookie": "late=12"}, (SHARES, "/api/embed")),
        ("/metrics", {}, None),
        ("/metrics", {"X_Facemodels_Version": V2}, None),
        (f"/models/{MODEL}/metrics/", {}, None),
    ],
)
def test_a_request_goes_where_the_local_router_sends_it(
    path: str, headers: dict[str, str], expected: tuple | None
) -> None:
    found = routes(rolled_out().state, flags=[FLAG, COOKIE])
    assert answer(found, path, **headers) == expected


def test_a_shadow_gets_copies_and_answers_nobody() -> None:
    route = one(routes(rolled_out(20, "shadow").state), "HTTPRoute", MODEL)
    serving = [rule for rule in route["spec"]["rules"] if "backendRefs" in rule]
    assert all([b["name"] for b in rule["backendRefs"]] == [object_name(V1)] for rule in serving)
    mirrors = [f for rule in serving for f in rule["filters"] if f["type"] == "RequestMirror"]
    assert {
        (m["requestMirror"]["backendRef"]["name"], m["requestMirror"]["percent"]) for m in mirrors
    } == {(object_name(V2), 20)}


@pytest.mark.parametrize(("strategy", "why"), [("ab", "A/B test"), ("shadow", "is a shadow")])
def test_what_the_gateway_cannot_do_leaves_the_stable_version_serving_alone(
    strategy: str, why: str
) -> None:
    able, plain = target(FULL), target({**FULL, "gateway": {"name": "g", "namespace": "g"}})
    with pytest.raises(InputError, match=why):
        plan(rolled_out(20, strategy).state, plain)
    urls = ("http://x:80",)
    arms = (RouteArm(V1, 80, urls), RouteArm(V2, 20, urls))
    route = Route(MODEL, "recognition", arms, user_header="X-User-Id", salt="rollout")
    if strategy == "shadow":
        arms = (RouteArm(V1, 100, urls), RouteArm(V2, 0, urls))
        route = Route(MODEL, "recognition", arms, mirror=(arms[1], 20))
        assert expressible(route, able) == (route, "")
    less, told = expressible(route, plain)
    assert why in told
    rules = model_route(less, plain, default=True)["spec"]["rules"]
    assert [b["name"] for rule in rules for b in rule.get("backendRefs", ())] == [
        object_name(V1), object_name(V1)
    ]  # fmt: skip
    assert "RequestMirror" not in str(rules)


def test_more_flags_than_a_route_has_rules_for_are_refused() -> None:
    flags = [{**FLAG, "value": str(n)} for n in range(7)]
    with pytest.raises(InputError, match=r"7 feature flags.*Keep 6"):
        routes(beside().state, flags=flags)

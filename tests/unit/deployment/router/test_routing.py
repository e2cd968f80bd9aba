"""Who gets which requests, as routes of the router."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from facemodels.deployment.desired import Desired, Rollout
from facemodels.deployment.router.routes import check
from facemodels.deployment.router.routing import RunningServers, default_model, routes
from facemodels.deployment.router.traffic import Traffic, share_out
from facemodels.deployment.settings import Environment, Flag

V1, V2, V3 = (f"rec-facenet-v{number}.0.0" for number in (1, 2, 3))
ARC, DET = "rec-arcface-v1.0.0", "det-yolov8-v1.0.0"
URLS = {
    identity: (f"http://127.0.0.1:{9000 + number}",)
    for number, identity in enumerate((V1, V2, V3, ARC, DET))
}
SETTINGS = Environment.model_validate({"address": {"port": 1}, "control": {"port": 2}})


def wanted(
    stable: str, model: str, rollout: Rollout | None = None, warm: tuple[str, ...] = (), since: int = 1
) -> Desired:  # fmt: skip
    return Desired(model, stable, rollout, warm, "tag", since, "A <a@b>", "why")


def rollout(strategy: Any, percent: int, identity: str = V2) -> Rollout:
    return Rollout(identity, strategy, percent, "tag", 2, "A <a@b>", "why")


FACENET = wanted(V1, "recognition-facenet")


def made(
    *models: Desired, settings: Environment = SETTINGS, ready: dict[str, Any] | None = None,
    spaces: dict[str, str] | None = None,
) -> list[Any]:  # fmt: skip
    urls = URLS if ready is None else ready
    by_model = {one.model: one for one in models}
    traffic = {model: share_out(one, set(urls), None) for model, one in by_model.items()}
    found = routes(by_model, traffic, RunningServers(urls, spaces or {}), settings)
    check(found)
    return found


def test_one_version_gets_all_and_answers_its_tasks_plain_addresses() -> None:
    [route] = made(FACENET)
    assert [(arm.id, arm.weight, arm.urls) for arm in route.arms] == [(V1, 100, URLS[V1])]
    assert route.paths == ("/api/embed", "/api/verify")
    assert (route.sticky, route.user_header, route.mirror, route.flags) == ("", "", None, ())


def test_a_canary_has_its_share_and_the_warm_version_none() -> None:
    [route] = made(replace(FACENET, rollout=rollout("canary", 10), warm=(V3,)))
    assert {arm.id: arm.weight for arm in route.arms} == {V1: 90, V2: 10, V3: 0}
    assert route.fallback[0] == V1


def test_a_cookie_keeps_clients_of_a_canary_where_the_environment_names_one() -> None:
    sticky = SETTINGS.model_copy(update={"sticky_cookie": "fm"})
    [canary] = made(replace(FACENET, rollout=rollout("canary", 10)), settings=sticky)
    [alone] = made(FACENET, settings=sticky)
    assert (canary.sticky, alone.sticky) == ("fm", "")


def test_ab_goes_by_the_user_and_each_test_has_halves_of_its_own() -> None:
    [route] = made(replace(FACENET, rollout=rollout("ab", 50)))
    assert (route.user_header, route.salt) == ("X-User-Id", V2)


def test_a_shadow_gets_copies_and_no_share() -> None:
    [route] = made(replace(FACENET, rollout=rollout("shadow", 30)))
    assert route.mirror is not None
    assert (route.mirror[0].id, route.mirror[1]) == (V2, 30)
    assert {arm.id: arm.weight for arm in route.arms} == {V1: 100, V2: 0}
    assert route.fallback == (V1,)  # nor an answer where production fails


def test_nobody_of_another_embedding_space_stands_in() -> None:
    [route] = made(
        replace(FACENET, rollout=rollout("canary", 10), warm=(V3,)),
        spaces={V1: "one", V2: "one", V3: "other"},
    )
    assert route.fallback == (V1, V2)  # it has a share, so it may serve


def test_a_flag_leads_to_a_version_that_runs_and_only_while_it_is_on() -> None:
    def flags(**change: Any) -> Any:
        values = {"name": "early", "model_id": V2, "header": "X-Early", "value": "yes", **change}
        settings = SETTINGS.model_copy(update={"flags": (Flag.model_validate(values),)})
        [route] = made(FACENET, settings=settings)
        return [(flag.name, flag.arm, flag.header, flag.value) for flag in route.flags]

    assert flags() == [("early", V2, "X-Early", "yes")]
    assert flags(enabled=False) == []
    assert flags(model_id="rec-facenet-v9.0.0") == []  # does not run
    assert flags(model_id=DET) == []  # another model's


def test_a_model_of_which_nothing_is_ready_has_no_route() -> None:
    assert made(FACENET, ready={}) == []


def test_of_two_models_of_a_task_the_configured_one_answers_else_the_last_deployed() -> None:
    both = FACENET, wanted(ARC, "recognition-arcface", since=5)
    paths = {route.model: route.paths for route in made(*both)}
    assert paths == {
        "recognition-arcface": ("/api/embed", "/api/verify"),
        "recognition-facenet": (),
    }
    named = SETTINGS.model_copy(update={"defaults": {"recognition": "recognition-facenet"}})
    paths = {route.model: route.paths for route in made(*both, settings=named)}
    assert paths == {
        "recognition-arcface": (),
        "recognition-facenet": ("/api/embed", "/api/verify"),
    }


def test_recognition_answers_addresses_of_no_model() -> None:
    both = {one.model: one for one in (FACENET, wanted(DET, "detection-yolov8", since=9))}
    assert default_model(both, SETTINGS) == "recognition-facenet"
    assert default_model({"detection-yolov8": both["detection-yolov8"]}, SETTINGS) == (
        "detection-yolov8"
    )
    assert default_model({}, SETTINGS) == ""


def test_requests_that_nobody_ready_would_answer_make_no_route() -> None:
    traffic = {FACENET.model: Traffic(FACENET.model, V1, {V1: 100})}
    running = RunningServers({V2: URLS[V2]}, {})
    assert routes({FACENET.model: FACENET}, traffic, running, SETTINGS) == []

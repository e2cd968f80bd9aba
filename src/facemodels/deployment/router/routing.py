"""From who gets the requests to the router's routes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from facemodels.deployment.desired import Desired
from facemodels.deployment.router.routes import FlagRoute, Route, RouteArm
from facemodels.deployment.router.traffic import Traffic
from facemodels.deployment.settings import Environment
from facemodels.names import ModelId
from facemodels.serving.api.endpoints import ABILITIES

Urls = Mapping[str, tuple[str, ...]]
_ORDER = ("recognition", "detection", "landmarks")
_COMMON = ("canary", "progressive")  # strategies with which a client may be kept by a cookie


@dataclass(frozen=True)
class RunningServers:
    """What can be reached.

    Attributes:
        urls: of the servers that are ready, by version.
        spaces: the embedding space of each version; None for a model that has none.
    """

    urls: Urls
    spaces: Mapping[str, str | None]


def routes(
    wanted: Mapping[str, Desired],
    traffic: Mapping[str, Traffic],
    running: RunningServers,
    settings: Environment,
) -> list[Route]:
    """The routes of an environment; a model of which nothing runs has none.

    Args:
        wanted: by model.
        traffic: by model.
        running: what can be reached.
        settings: of the environment.
    """
    paths = _paths(wanted, settings)
    found = (
        _route(one, traffic[model], running, settings, paths.get(model, ()))
        for model, one in sorted(wanted.items())
        if model in traffic
    )
    return [route for route in found if route is not None]


def default_model(wanted: Mapping[str, Desired], settings: Environment) -> str:
    """The model that answers addresses of no model: recognition's, as the guide asks it."""
    chosen = _by_task(wanted, settings)
    return next((chosen[task] for task in _ORDER if task in chosen), "")


def _paths(wanted: Mapping[str, Desired], settings: Environment) -> dict[str, tuple[str, ...]]:
    """The plain addresses that each model answers: a task's belong to one model of it."""
    return {
        model: tuple(f"/api/{ability}" for ability in ABILITIES[task])
        for task, model in _by_task(wanted, settings).items()
    }


def _by_task(wanted: Mapping[str, Desired], settings: Environment) -> dict[str, str]:
    """The model of each task: the configured one, else the one that was deployed last."""
    configured = set(settings.defaults.values())
    latest = sorted(
        wanted.values(), key=lambda one: (one.model in configured, one.since, one.model)
    )
    return {one.task: one.model for one in latest}


def _route(
    wanted: Desired,
    traffic: Traffic,
    running: RunningServers,
    settings: Environment,
    paths: tuple[str, ...],
) -> Route | None:
    flags = _flags(wanted.model, running.urls, settings)
    mentioned = (traffic.stable, *traffic.shares, *wanted.ids, *(flag.arm for flag in flags))
    arms = tuple(
        RouteArm(identity, traffic.shares.get(identity, 0), running.urls[identity])
        for identity in dict.fromkeys(mentioned)
        if identity in running.urls
    )
    if sum(arm.weight for arm in arms) != 100:
        return None  # who gets requests is not ready: the routes stay as they were
    mirror = next((arm for arm in arms if arm.id == traffic.shadow), None)
    sticky = settings.sticky_cookie if traffic.strategy in _COMMON else ""
    return Route(
        model=wanted.model,
        task=wanted.task,
        arms=arms,
        paths=paths,
        mirror=(mirror, traffic.copies) if mirror is not None else None,
        sticky=sticky,
        user_header=settings.user_header if traffic.strategy == "ab" else "",
        salt=wanted.rollout.id if wanted.rollout else "",
        flags=flags,
        fallback=_fallback(traffic.stable, arms, running.spaces),
    )


def _flags(model: str, urls: Urls, settings: Environment) -> tuple[FlagRoute, ...]:
    return tuple(
        FlagRoute(flag.name, flag.value, flag.model_id, flag.header, flag.cookie)
        for flag in settings.flags
        if flag.enabled
        and flag.model_id in urls
        and str(ModelId.parse(flag.model_id).name) == model
    )


def _fallback(
    stable: str, arms: Sequence[RouteArm], spaces: Mapping[str, str | None]
) -> tuple[str, ...]:
    """Who may answer for a version that fails: those whose embeddings mean the same."""
    same = [arm.id for arm in arms if spaces.get(arm.id) == spaces.get(stable)]
    return tuple(sorted(same, key=lambda identity: identity != stable))

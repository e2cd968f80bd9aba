"""Makes the routes of an environment from its traffic and its running servers. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from facemodels.deployment.desired import Desired
from facemodels.deployment.router.routes import FlagRoute, Route, RouteArm
from facemodels.deployment.router.traffic import Traffic
from facemodels.deployment.settings import Environment
from facemodels.deployment.strategies import Strategy
from facemodels.names import ModelId
from facemodels.registry.state import State
from facemodels.routes import ability_paths

Urls = Mapping[str, tuple[str, ...]]
_ORDER = ("recognition", "detection", "landmarks", "system")
_STICKY: tuple[Strategy, ...] = ("canary", "progressive")  # a cookie may keep a client


@dataclass(frozen=True)
class RunningServers:
    """The servers that can be reached, and what their versions have in common.

    Attributes:
        urls: the URLs of the ready servers, by version.
        spaces: the embedding space of each version; None for a model without one.
    """

    urls: Urls
    spaces: Mapping[str, str | None]


def routes(
    wanted: Mapping[str, Desired],
    traffic: Mapping[str, Traffic],
    running: RunningServers,
    settings: Environment,
) -> list[Route]:
    """Make the routes of an environment; a model without a ready version gets none.

    Args:
        wanted: the desired state, by model.
        traffic: how the requests are shared out, by model.
        running: the servers that are ready.
        settings: the settings of the environment.
    """
    paths = _paths(wanted, settings)
    found = (
        _route(one, traffic[model], running, settings, paths.get(model, ()))
        for model, one in sorted(wanted.items())
        if model in traffic
    )
    return [route for route in found if route is not None]


def default_model(wanted: Mapping[str, Desired], settings: Environment) -> str:
    """The model that answers addresses that name no model; recognition comes first."""
    chosen = _by_task(wanted, settings)
    return next((chosen[task] for task in _ORDER if task in chosen), "")


def embedding_spaces(state: State) -> dict[str, str | None]:
    """The embedding space of every registered version; None for one without."""
    return {
        identity: entry.facts.get("interface", {}).get("embedding_space")
        for identity, entry in state.entries.items()
    }


def _paths(wanted: Mapping[str, Desired], settings: Environment) -> dict[str, tuple[str, ...]]:
    """The plain addresses that each model answers; one model of a task gets all of them.

    A recogniser and a system have an address in common. It stays the recogniser's: what its
    clients send are crops, in which a system would look for faces.
    """
    chosen = _by_task(wanted, settings)
    found: dict[str, tuple[str, ...]] = {}
    for task in (task for task in _ORDER if task in chosen):
        taken = {path for paths in found.values() for path in paths}
        found[chosen[task]] = tuple(path for path in ability_paths(task) if path not in taken)
    return found


def _by_task(wanted: Mapping[str, Desired], settings: Environment) -> dict[str, str]:
    """The model of each task: the configured one, or the one that was deployed last."""
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
    flagged = (flag.arm for flag in flags)
    mentioned = (traffic.stable, *traffic.shares, *wanted.ids, *traffic.stand_ins, *flagged)
    arms = tuple(
        RouteArm(identity, traffic.shares.get(identity, 0), running.urls[identity])
        for identity in dict.fromkeys(mentioned)
        if identity in running.urls
    )
    if sum(arm.weight for arm in arms) != 100:
        return None  # a version with a share is not ready, so the last route stays
    mirror = next((arm for arm in arms if arm.id == traffic.shadow), None)
    sticky = settings.sticky_cookie if traffic.strategy in _STICKY else ""
    return Route(
        model=wanted.model,
        task=wanted.task,
        arms=arms,
        paths=paths,
        mirror=(mirror, traffic.copies) if mirror is not None else None,
        sticky=sticky,
        sticky_s=settings.sticky_s,
        user_header=settings.user_header if traffic.strategy == "ab" else "",
        salt=wanted.rollout.id if wanted.rollout else "",
        flags=flags,
        fallback=_fallback(wanted, traffic, arms, running.spaces),
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
    wanted: Desired,
    traffic: Traffic,
    arms: Sequence[RouteArm],
    spaces: Mapping[str, str | None],
) -> tuple[str, ...]:
    """The versions that may repeat a failed request: those of the same embedding space.

    Only a version that may serve is among them, never a shadow or one that waits for its turn.
    """
    ready = {arm.id for arm in arms}
    order = dict.fromkeys((*traffic.answered[:1], *wanted.may_serve, *traffic.answered))
    space = spaces.get(traffic.stable)
    return tuple(one for one in order if one in ready and spaces.get(one) == space)

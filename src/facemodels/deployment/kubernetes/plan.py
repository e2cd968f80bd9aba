"""Tags → what an environment runs and where its requests go. Pure.

The same functions decide it as on one machine (`desired`, `share_out`, `routes`); a Service stands
in the place of a server's address.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from facemodels.deployment.desired import Desired, desired
from facemodels.deployment.kubernetes.target import ClusterTarget
from facemodels.deployment.router.routes import Route, check
from facemodels.deployment.router.routing import (
    RunningServers,
    default_model,
    embedding_spaces,
    routes,
)
from facemodels.deployment.router.traffic import Traffic, share_out
from facemodels.errors import InputError
from facemodels.registry.state import Entry, State


@dataclass(frozen=True)
class ClusterPlan:
    """What an environment runs, and where its requests go.

    Attributes:
        wanted: the desired state, by model.
        versions: the registry's entries of all versions that run, by id.
        traffic: how the requests are shared out, by model.
        routes: the routes, one a model; a model without a ready version has none.
        default: the model that answers addresses that name no model; "" if there is none.
    """

    wanted: Mapping[str, Desired]
    versions: Mapping[str, Entry]
    traffic: Mapping[str, Traffic]
    routes: tuple[Route, ...]
    default: str


def plan(
    state: State,
    target: ClusterTarget,
    *,
    ready: Set[str] | None = None,
    before: Mapping[str, Traffic] | None = None,
    now: float = 0.0,
) -> ClusterPlan:
    """Plan an environment.

    Args:
        state: the state that the registry's tags add up to.
        target: the environment and its cluster.
        ready: the versions that have a ready server; None plans for the time when all have.
        before: how the requests were shared out until now.
        now: seconds of the clock of `share_out`.

    Raises:
        InputError: a rollout needs what the standard Gateway API cannot express.
    """
    wanted = desired(state, target.environment)
    known = before or {}
    asked = {identity for one in wanted.values() for identity in one.ids}
    asked |= {flag.model_id for flag in target.settings.flags if flag.enabled}
    versions = {identity: state.entries[identity] for identity in _usable(state, asked)}
    able = set(_usable(state, versions if ready is None else ready))
    spaces = embedding_spaces(state)
    traffic = {
        model: share_out(one, able, known.get(model), spaces, now) for model, one in wanted.items()
    }
    running = RunningServers({one: (service_url(one, target),) for one in sorted(able)}, spaces)
    found = tuple(routes(wanted, traffic, running, target.settings))
    routed = {route.model for route in found}
    default = default_model({m: one for m, one in wanted.items() if m in routed}, target.settings)
    check(found, default)
    require_expressible(found, target)
    return ClusterPlan(wanted, versions, traffic, found, default)


def _usable(state: State, identities: Iterable[str]) -> list[str]:
    """Those of the versions that are registered and not deprecated, sorted."""
    return [
        identity
        for identity in sorted(identities)
        if identity in state.entries and state.entries[identity].status != "deprecated"
    ]


def service_url(identity: str, target: ClusterTarget) -> str:
    """The address of a version's Service inside of the cluster."""
    return f"http://{target.service(identity)}.{target.namespace}.svc:80"


def require_expressible(routes: Sequence[Route], target: ClusterTarget) -> None:
    """Refuse routes that the Gateway cannot express.

    Raises:
        InputError: a route is that of an A/B test, or has a shadow that the Gateway cannot feed.
    """
    for route in routes:
        why = expressible(route, target)[1]
        if why:
            raise InputError(why, "Use --strategy canary, or end it with --strategy abort.")


def expressible(route: Route, target: ClusterTarget) -> tuple[Route, str]:
    """What the Gateway can do of a route, and why that is not all; "" if it is.

    A rollout that a clone without these settings began must not keep the model from being served,
    nor from a rollback: its stable version answers alone.
    """
    if route.user_header:
        stable, *others = route.arms  # in this order
        arms = (replace(stable, weight=100), *(replace(one, weight=0) for one in others))
        return replace(route, arms=arms, user_header="", salt=""), (
            f"{route.salt or route.model} is in an A/B test, and the standard Gateway API cannot "
            "keep a user with one version."
        )
    if route.mirror is not None and route.mirror[1] and not target.cluster.gateway.mirrors:
        return replace(route, mirror=None), (
            f"{route.mirror[0].id} is a shadow, and kubernetes.gateway.mirrors does not say that "
            "the Gateway can copy requests."
        )
    return route, ""

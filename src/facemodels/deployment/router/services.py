"""Versions → Traefik's services: who answers, who gets copies, who stands in. Pure.

A prediction changes nothing, so one that failed may be asked again elsewhere. Traefik's `failover`
with `errors` does that, its health checks and its `retry` do not: seen by killing servers under
load. Its bodies are unlimited (-1): a limit there cuts the throughput to a fifth, and the routers'
`buffering` has one already.

name                what
<id>                the version, all its servers
<id>.<n>            its n-th server, where it has several
<id>.<n>.or.<m>     that, and where it fails the servers after it
<id>.safe           the version, and where it fails the versions that stand in
<id>.safe.<m>       those
<model>             all versions by weight
….copied            copies go to the mirror
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from facemodels.deployment.router.routes import Route, RouteArm
from facemodels.deployment.router.settings import RouterSettings

TRANSPORT = "servers"
_Services = dict[str, dict[str, Any]]
_FAILED = "500-504"


def services_of(route: Route, settings: RouterSettings) -> _Services:
    """All services of a model."""
    found: _Services = {}
    for arm in route.running:
        stand_in = [identity for identity in route.fallback if identity != arm.id]
        checked = len(arm.urls) > 1 or bool(stand_in)
        found |= _servers(arm, settings, checked=checked)
        found |= _chain(f"{arm.id}.safe", [arm.id, *stand_in])
    weighted = [{"name": f"{arm.id}.safe", "weight": arm.weight} for arm in _weighty(route)]
    found[route.model] = {"weighted": {"services": weighted}}
    if route.sticky:
        cookie = {"name": route.sticky, "httpOnly": True, "sameSite": "lax"}
        found[route.model]["weighted"]["sticky"] = {"cookie": cookie}
    if _copies(route):
        fronts = [route.model]
        fronts += [f"{arm.id}.safe" for arm in _weighty(route)] if route.user_header else []
        found |= {f"{name}.copied": _copied(name, route) for name in fronts}
    return found


def front(route: Route, arm: RouteArm | None = None) -> str:
    """The service for requests of everybody, or of those who have an arm."""
    name = f"{arm.id}.safe" if arm else route.model
    return f"{name}.copied" if _copies(route) else name


def _weighty(route: Route) -> list[RouteArm]:
    return [arm for arm in route.arms if arm.weight]


def _copies(route: Route) -> bool:
    return route.mirror is not None and route.mirror[1] > 0


def _copied(name: str, route: Route) -> dict[str, Any]:
    assert route.mirror is not None  # noqa: S101
    arm, percent = route.mirror
    mirrors = [{"name": arm.id, "percent": percent}]
    return {"mirroring": {"service": name, "mirrors": mirrors, "maxBodySize": -1}}


def _servers(arm: RouteArm, settings: RouterSettings, *, checked: bool) -> _Services:
    """Every server in a service of its own: which one is asked next is then certain."""
    if len(arm.urls) == 1:
        return {arm.id: _server(arm.urls[0], settings, checked=checked)}
    names = [f"{arm.id}.{n}" for n, _ in enumerate(arm.urls)]
    found = {
        name: _server(url, settings, checked=checked)
        for name, url in zip(names, arm.urls, strict=True)
    }
    for n, name in enumerate(names):
        found |= _chain(f"{name}.or", [*names[n:], *names[:n]])
    equal = [{"name": f"{name}.or", "weight": 1} for name in names]
    return found | {arm.id: {"weighted": {"services": equal}}}


def _server(url: str, settings: RouterSettings, *, checked: bool) -> dict[str, Any]:
    balancer: dict[str, Any] = {"servers": [{"url": url}], "serversTransport": TRANSPORT}
    # The only one is asked even when it looks dead: perhaps it was slow.
    if checked:
        balancer["healthCheck"] = {
            "path": "/v2/health/ready",
            "interval": seconds(settings.health_s),
            "timeout": seconds(settings.patience_s),
        }
    return {"loadBalancer": balancer}


def _chain(name: str, members: Sequence[str]) -> _Services:
    """The first, where it fails the second, and so on; the name is the same however many."""
    if len(members) == 1:
        return {name: {"weighted": {"services": [{"name": members[0], "weight": 1}]}}}
    rest = f"{name}.{len(members) - 1}" if len(members) > 2 else members[1]
    errors = {"status": [_FAILED], "maxRequestBodyBytes": -1}
    failover = {"service": members[0], "fallback": rest, "errors": errors}
    more = _chain(rest, members[1:]) if len(members) > 2 else {}
    return {name: {"failover": failover}} | more


def seconds(value: float) -> str:
    """A duration in Go's writing."""
    return f"{round(value * 1000)}ms"

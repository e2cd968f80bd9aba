"""Makes from routes the dynamic configuration that Traefik reads. Pure.

A *router* of Traefik decides which service a request goes to. From the highest priority to the
lowest: a header that names a version, an address that names one, a flag, the user's arm, and the
weights. `configuration` makes them.

A *service* says which servers answer. `services_of` makes them:

name                meaning
<id>                all servers of a version
<id>.<n>            its n-th server, where it has several
<id>.<n>.or.<m>     that server, and where it fails the servers after it
<id>.safe           the version, and where it fails the fallback versions
<id>.safe.<m>       the fallback versions
<model>             all versions by weight
….copied            the same, and copies go to the mirror

A prediction has no side effects, so a failed one may be repeated on another server. Traefik's
`failover` with `errors` does that; its health checks and its `retry` do not, as tests showed that
kill servers under load. Bodies are unlimited in services (-1), because a limit there costs four
fifths of the throughput; the middleware `buffering` of the routers has the limit.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

from facemodels.deployment.router.routes import FlagRoute, Route, RouteArm, check
from facemodels.deployment.router.settings import ENTRY, PLUGIN, RouterSettings, seconds
from facemodels.files import canonical_json
from facemodels.routes import READY

ROUTES = "routes.yaml"  # the file with the routes, in the folder that the router watches
MARK = "generation"  # an unused middleware; Traefik's API shows which one it has
VERSION_HEADER = "X-Facemodels-Version"
_ARM_HEADER = "X-Facemodels-Arm"  # as in plugin/arms.go
_LIMIT = "limit"
_NOBODY = "nobody"
_NOBODY_BODY = canonical_json(
    {"error": "No server of the model is ready; try again soon.", "code": "starting"}
)
# A server's own metrics are not served through the router.
_PUBLIC = "!PathRegexp(`^(/models/[^/]+)?/metrics/?$`)"
_ANY_VERSION = f"!HeaderRegexp(`{VERSION_HEADER}`, `.`)"
_BY_ID, _BY_ADDRESS, _NAMED, _REST = 4000, 3000, 2000, 1000
_BY_NUMBER, _BY_FLAG = 900, 100
OPEN_WEIGHT = 50  # percent of the traffic: who gets it may be named by everybody
_TRANSPORT = "servers"
_FAILED = "500-504"
_Routers = dict[str, dict[str, Any]]
_Services = dict[str, dict[str, Any]]


def configuration(
    routes: Sequence[Route],
    settings: RouterSettings,
    default: str = "",
    waiting: Iterable[str] = (),
) -> dict[str, Any]:
    """Make the whole dynamic configuration.

    A request for a model of which no server is ready is told to come again: 503 with Retry-After.

    Args:
        routes: one route for each model.
        settings: the limits.
        default: the model that answers addresses that name no model; "" chooses the first one.
        waiting: the models that must be served and have no route yet.

    Raises:
        InputError: a request would find no server.
    """
    check(routes, default)
    chosen = default or (routes[0].model if routes else "")
    routers: _Routers = {}
    services: dict[str, Any] = {}
    middlewares: dict[str, Any] = {}
    choosers = settings.choosers.rule
    for route in routes:
        services |= services_of(route, settings)
        middlewares |= _middlewares(route)
        routers |= _versions(route, choosers)
        routers |= _address(route, route.model, _own(route), _NAMED, choosers)
        if route.model == chosen:
            rest = f"{route.model}.rest"
            routers |= _address(route, rest, "PathPrefix(`/`)", _REST, choosers)
    nobody = _waiting(waiting, alone=not routes)
    routers |= nobody
    if nobody:
        middlewares[_NOBODY] = {"plugin": {PLUGIN: {"nobody": _NOBODY_BODY}}}
    http = {
        "routers": routers,
        "services": services,
        "middlewares": middlewares,
    }
    # Traefik takes no empty element.
    known: dict[str, Any] = {name: part for name, part in http.items() if part}
    known["serversTransports"] = {_TRANSPORT: _transport(settings)}
    known["middlewares"] = middlewares | {_LIMIT: _limit(settings)}
    mark = hashlib.sha256(canonical_json(known).encode()).hexdigest()[:32]
    known["middlewares"][MARK] = {"headers": {"customRequestHeaders": {"X-Generation": mark}}}
    return {"http": known}


def _waiting(models: Iterable[str], *, alone: bool) -> _Routers:
    """The routers of models without a server; where no model has one, a router for everything."""
    rules = {
        f"{model}.nobody": f"{_under(f'/models/{model}')} || {_under(f'/v2/models/{model}')}"
        for model in models
    }
    if alone:
        rules["nobody"] = "PathPrefix(`/`)"
    return {
        name: {
            "entryPoints": [ENTRY],
            "rule": f"({rule}) && {_PUBLIC}",
            "priority": 1 if name == "nobody" else _NAMED,
            "middlewares": [_NOBODY],
            "service": "noop@internal",
        }
        for name, rule in rules.items()
    }


def generation(published: dict[str, Any]) -> str:
    """The name of a configuration; equal configurations have equal names."""
    headers = published["http"]["middlewares"][MARK]["headers"]
    return str(headers["customRequestHeaders"]["X-Generation"])


def _transport(settings: RouterSettings) -> dict[str, Any]:
    return {
        "maxIdleConnsPerHost": 200,
        "forwardingTimeouts": {
            "dialTimeout": seconds(settings.connect_s),
            "responseHeaderTimeout": seconds(settings.answer_s),
            "idleConnTimeout": seconds(settings.idle_s / 2),
        },
    }


def _limit(settings: RouterSettings) -> dict[str, Any]:
    """Limit bodies and keep them in memory: images of faces are never written to a disk."""
    return {
        "buffering": {
            "maxRequestBodyBytes": settings.body_bytes,
            "memRequestBodyBytes": settings.body_bytes + 1,
            "memResponseBodyBytes": 2**28,
        }
    }


def _middlewares(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = {
        f"{route.model}.strip": {"stripPrefix": {"prefixes": [f"/models/{route.model}"]}}
    }
    if route.user_header:
        arms = [{"id": arm.id, "weight": arm.weight} for arm in route.arms if arm.weight]
        plugin = {"header": route.user_header, "salt": route.salt or route.model, "arms": arms}
        found[f"{route.model}.arms"] = {"plugin": {PLUGIN: plugin}}
    return found


def _own(route: Route) -> str:
    rules = [_under(f"/models/{route.model}"), _under(f"/v2/models/{route.model}")]
    return " || ".join([*rules, *(f"Path(`{path}`)" for path in route.paths)])


def _under(path: str) -> str:
    return f"Path(`{path}`) || PathPrefix(`{path}/`)"


def _versions(route: Route, choosers: str) -> _Routers:
    """Routers for requests that name a version: that version answers them or none does.

    Everybody may name in the address a version that gets most of the traffic, since clients of the
    Open Inference Protocol do; any other version answers only who may choose.
    """
    found: _Routers = {}
    for arm in route.running if choosers else ():
        rule = f"Header(`{VERSION_HEADER}`, `{arm.id}`) && ({choosers})"
        found[f"{arm.id}.by-id"] = _router(route, rule, _BY_ID, arm.id)
    for arm in route.by_version():
        path = f"/v2/models/{route.model}/versions/{re.escape(arm.version)}"
        rule = f"PathRegexp(`^(/models/{route.model})?{path}(/.*)?$`) && {_ANY_VERSION}"
        if arm.weight >= OPEN_WEIGHT:
            found[f"{arm.id}.by-address"] = _router(route, rule, _BY_ADDRESS, arm.id)
        elif choosers:
            closed = f"{rule} && ({choosers})"
            found[f"{arm.id}.by-address"] = _router(route, closed, _BY_ADDRESS, arm.id)
    return found


def _address(route: Route, name: str, rule: str, level: int, choosers: str) -> _Routers:
    """The routers for one address, with all flags and arms."""
    found: _Routers = {}
    for arm in route.by_version() if choosers else ():
        exact = f"({rule}) && Header(`{VERSION_HEADER}`, `{arm.version}`) && ({choosers})"
        found[f"{name}.{arm.id}.by-number"] = _router(route, exact, level + _BY_NUMBER, arm.id)
    usual = f"({rule}) && {_ANY_VERSION}"
    for n, flag in enumerate(route.flags):
        flagged = f"{usual} && {_flagged(flag)}"
        priority = level + _BY_FLAG + len(route.flags) - n
        found[f"{name}.flag.{n}"] = _router(route, flagged, priority, f"{flag.arm}.safe")
    if not route.user_header:
        return found | {name: _router(route, usual, level, front(route))}
    parent = _router(route, usual, level, "")
    parent["middlewares"].append(f"{route.model}.arms")
    found[name] = parent
    for arm in route.arms:
        if arm.weight:
            found[f"{name}.{arm.id}.user"] = {
                "parentRefs": [name],
                "rule": f"Header(`{_ARM_HEADER}`, `{arm.id}`)",
                "service": front(route, arm),
            }
    found[f"{name}.nobody"] = {
        "parentRefs": [name],
        "rule": f"!HeaderRegexp(`{_ARM_HEADER}`, `.`)",
        "service": front(route),
    }
    return found


def _router(route: Route, rule: str, priority: int, service: str) -> dict[str, Any]:
    """One router; without a service it is the parent of other routers."""
    router: dict[str, Any] = {
        "entryPoints": [ENTRY],
        "rule": f"({rule}) && {_PUBLIC}",
        "priority": priority,
        "middlewares": [f"{route.model}.strip", _LIMIT],
    }
    return router | {"service": service} if service else router


def _flagged(flag: FlagRoute) -> str:
    if flag.header:
        return f"Header(`{flag.header}`, `{flag.value}`)"
    pair = f"{re.escape(flag.cookie)}={re.escape(flag.value)}"
    return f"HeaderRegexp(`Cookie`, `(^|;\\s*){pair}(;|$)`)"


def services_of(route: Route, settings: RouterSettings) -> _Services:
    """Make all services of a model; the module's docstring lists their names."""
    found: _Services = {}
    for arm in route.running:
        stand_in = [identity for identity in route.fallback if identity != arm.id]
        checked = len(arm.urls) > 1 or bool(stand_in)
        found |= _servers(arm, settings, checked=checked)
        found |= _chain(f"{arm.id}.safe", [arm.id, *stand_in])
    weighted = [{"name": f"{arm.id}.safe", "weight": arm.weight} for arm in _with_weight(route)]
    found[route.model] = {"weighted": {"services": weighted}}
    if route.sticky:
        cookie = {"name": route.sticky, "httpOnly": True, "sameSite": "lax"}
        cookie["maxAge"] = route.sticky_s  # from its first answer on: Traefik does not prolong it
        found[route.model]["weighted"]["sticky"] = {"cookie": cookie}
    if _copies(route):
        fronts = [route.model]
        fronts += [f"{arm.id}.safe" for arm in _with_weight(route)] if route.user_header else []
        found |= {f"{name}.copied": _copied(name, route) for name in fronts}
    return found


def front(route: Route, arm: RouteArm | None = None) -> str:
    """The name of the service for all requests, or for the users of one arm."""
    name = f"{arm.id}.safe" if arm else route.model
    return f"{name}.copied" if _copies(route) else name


def _with_weight(route: Route) -> list[RouteArm]:
    return [arm for arm in route.arms if arm.weight]


def _copies(route: Route) -> bool:
    return route.mirror is not None and route.mirror[1] > 0


def _copied(name: str, route: Route) -> dict[str, Any]:
    assert route.mirror is not None  # noqa: S101
    arm, percent = route.mirror
    mirrors = [{"name": arm.id, "percent": percent}]
    return {"mirroring": {"service": name, "mirrors": mirrors, "maxBodySize": -1}}


def _servers(arm: RouteArm, settings: RouterSettings, *, checked: bool) -> _Services:
    """Give every server a service of its own, so that the order of failover is fixed."""
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
    balancer: dict[str, Any] = {"servers": [{"url": url}], "serversTransport": _TRANSPORT}
    # A version's only server is asked even if its health check failed: it may be slow.
    if checked:
        balancer["healthCheck"] = {
            "path": READY.path,
            "interval": seconds(settings.health_s),
            "timeout": seconds(settings.patience_s),
        }
    return {"loadBalancer": balancer}


def _chain(name: str, members: Sequence[str]) -> _Services:
    """A failover from the first member to the last; the name does not depend on their number."""
    if len(members) == 1:
        return {name: {"weighted": {"services": [{"name": members[0], "weight": 1}]}}}
    rest = f"{name}.{len(members) - 1}" if len(members) > 2 else members[1]
    errors = {"status": [_FAILED], "maxRequestBodyBytes": -1}
    failover = {"service": members[0], "fallback": rest, "errors": errors}
    more = _chain(rest, members[1:]) if len(members) > 2 else {}
    return {name: {"failover": failover}} | more

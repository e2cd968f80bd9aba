"""Routes → the configuration that Traefik reads. Pure.

Who wins, from the top: a header that names a version, an address that names one, a flag, the
user's arm, the weights.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

from facemodels.deployment.router.routes import FlagRoute, Route, RouteArm, check
from facemodels.deployment.router.services import TRANSPORT, front, seconds, services_of
from facemodels.deployment.router.settings import RouterSettings
from facemodels.files import canonical_json

ENTRY = "web"
PLUGIN = "arms"
MARK = "generation"  # a middleware that nobody uses: the router's API shows which one it has
VERSION_HEADER = "X-Facemodels-Version"
_ARM_HEADER = "X-Facemodels-Arm"  # as in plugin/arms.go
_LIMIT = "limit"
# A server's own metrics are for those who can reach it.
_PUBLIC = "!PathRegexp(`^(/models/[^/]+)?/metrics/?$`)"
_ANY_VERSION = f"!HeaderRegexp(`{VERSION_HEADER}`, `.`)"
_BY_ID, _BY_ADDRESS, _NAMED, _REST = 4000, 3000, 2000, 1000
_BY_NUMBER, _BY_FLAG = 900, 100
_Routers = dict[str, dict[str, Any]]


def configuration(
    routes: Sequence[Route], settings: RouterSettings, default: str = ""
) -> dict[str, Any]:
    """The whole dynamic configuration.

    Args:
        routes: one a model.
        settings: limits.
        default: the model that answers addresses of no model; the first one if empty.

    Raises:
        InputError: a request would find no server.
    """
    check(routes, default)
    chosen = default or (routes[0].model if routes else "")
    routers: _Routers = {}
    services: dict[str, Any] = {}
    middlewares: dict[str, Any] = {}
    for route in routes:
        services |= services_of(route, settings)
        middlewares |= _middlewares(route)
        routers |= _versions(route)
        routers |= _address(route, route.model, _own(route), _NAMED)
        if route.model == chosen:
            routers |= _address(route, f"{route.model}.rest", "PathPrefix(`/`)", _REST)
    http = {
        "routers": routers,
        "services": services,
        "middlewares": middlewares,
    }
    # Traefik takes no empty element.
    known: dict[str, Any] = {name: part for name, part in http.items() if part}
    known["serversTransports"] = {TRANSPORT: _transport(settings)}
    known["middlewares"] = middlewares | {_LIMIT: _limit(settings)}
    mark = hashlib.sha256(canonical_json(known).encode()).hexdigest()[:32]
    known["middlewares"][MARK] = {"headers": {"customRequestHeaders": {"X-Generation": mark}}}
    return {"http": known}


def generation(published: dict[str, Any]) -> str:
    """Names a configuration: the same one has the same name."""
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
    """Bodies are faces: all that is allowed stays in memory, nothing is spilled to a disk."""
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


def _versions(route: Route) -> _Routers:
    """What asks for one version gets that one or nothing: no other may stand in."""
    found: _Routers = {}
    for arm in route.running:
        rule = f"Header(`{VERSION_HEADER}`, `{arm.id}`)"
        found[f"{arm.id}.by-id"] = _router(route, rule, _BY_ID, arm.id)
    for arm in _by_version(route):
        path = f"/v2/models/{route.model}/versions/{re.escape(arm.version)}"
        rule = f"PathRegexp(`^(/models/{route.model})?{path}(/.*)?$`) && {_ANY_VERSION}"
        found[f"{arm.id}.by-address"] = _router(route, rule, _BY_ADDRESS, arm.id)
    return found


def _by_version(route: Route) -> Iterator[RouteArm]:
    """A version's variants share its number; the first one has it."""
    yield from {arm.version: arm for arm in reversed(_in_order(route))}.values()


def _in_order(route: Route) -> list[RouteArm]:
    return sorted(route.running, key=lambda arm: (-arm.weight, arm.id))


def _address(route: Route, name: str, rule: str, level: int) -> _Routers:
    """All that can happen at one address."""
    found: _Routers = {}
    for arm in _by_version(route):
        exact = f"({rule}) && Header(`{VERSION_HEADER}`, `{arm.version}`)"
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
    """One without a service is the parent of others."""
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

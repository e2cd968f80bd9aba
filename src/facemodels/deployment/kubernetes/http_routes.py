"""Gateway API's HTTPRoutes, made from the routes that Traefik's configuration is made from. Pure.

A model has one HTTPRoute, whose weights are its shares: a canary's step and a rollback change
nothing else. A version with most of the traffic has one more, for its address. Which of several
matching rules counts is the standard's: the exact path, then the longest prefix, then the most
headers. A rule that rewrites a prefix has that prefix as its only match (a CEL rule of the CRD).

What Traefik does here and the standard API cannot, docs/kubernetes.md lists.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

from facemodels.deployment.kubernetes.target import (
    ClusterTarget,
    Object,
    model_labels,
    object_name,
    version_annotations,
    version_labels,
)
from facemodels.deployment.router.configuration import OPEN_WEIGHT
from facemodels.deployment.router.routes import FlagRoute, Route, RouteArm
from facemodels.errors import InputError
from facemodels.routes import METRICS

API = "gateway.networking.k8s.io/v1"
_MOST_RULES = 16  # of one HTTPRoute
_SPARE_S = 5  # a server answers 504 itself before the gateway gives up
# Argo CD applies what has a higher wave after what has a lower one is healthy.
_AFTER_SERVERS = {"argocd.argoproj.io/sync-wave": "1"}


def model_route(route: Route, target: ClusterTarget, *, default: bool) -> Object:
    """The HTTPRoute that shares out the requests to a model.

    Args:
        route: the route.
        target: the environment and its cluster.
        default: whether the model answers addresses that name no model.

    Raises:
        InputError: the model has more feature flags than a route has rules.
    """
    mirror = _mirror(route, target)
    weighted = [_backend(arm.id, target, arm.weight) for arm in route.arms if arm.weight]
    rules = [_hidden(route, default=default)]
    for flag in route.flags:
        rules += _pair(
            route, [_backend(flag.arm, target)], target, [_flag_header(flag)], default=default
        )
    rules += _pair(route, weighted, target, [], default=default, filters=mirror)
    if len(rules) > _MOST_RULES:
        raise InputError(
            f"{route.model} has {len(route.flags)} feature flags, and an HTTPRoute has at most "
            f"{_MOST_RULES} rules.",
            f"Keep {(_MOST_RULES - 3) // 2} of them.",
        )
    metadata = target.metadata(object_name(route.model), model_labels(route.model), _AFTER_SERVERS)
    return _route(metadata, rules, target)


def version_routes(route: Route, target: ClusterTarget) -> list[Object]:
    """The HTTPRoutes for addresses that name a version, of versions that everybody may name.

    Whoever may choose a version can send all of his requests to a canary, and so condemn or promote
    it. The standard cannot tell clients apart, so a version with less of the traffic is named by
    nobody, and no version by a header.
    """
    return [
        _version_route(route, arm, target)
        for arm in route.by_version()
        if arm.weight >= OPEN_WEIGHT
    ]


def _version_route(route: Route, arm: RouteArm, target: ClusterTarget) -> Object:
    backend = [_backend(arm.id, target)]
    own = f"/v2/models/{route.model}/versions/{arm.version}"
    rules = [
        _rule([{"path": _prefix(own)}], backend, target),
        _rewriting(f"/models/{route.model}{own}", own, [], backend, target),
    ]
    annotations = {**version_annotations(arm.id), **_AFTER_SERVERS}
    metadata = target.metadata(object_name(arm.id), version_labels(arm.id), annotations)
    return _route(metadata, rules, target)


def _route(metadata: Object, rules: Sequence[Object], target: ClusterTarget) -> Object:
    gateway = target.cluster.gateway
    parent: Object = {
        "group": "gateway.networking.k8s.io",
        "kind": "Gateway",
        "name": gateway.name,
        "namespace": gateway.namespace,
    }
    parent |= {"sectionName": gateway.section} if gateway.section else {}
    spec: Object = {"parentRefs": [parent]}
    spec |= {"hostnames": list(gateway.hostnames)} if gateway.hostnames else {}
    spec["rules"] = list(rules)
    return {"apiVersion": API, "kind": "HTTPRoute", "metadata": metadata, "spec": spec}


# --- rules -------------------------------------------------------------------------------


def _pair(
    route: Route,
    backends: Sequence[Object],
    target: ClusterTarget,
    headers: Sequence[Object],
    *,
    default: bool,
    filters: Sequence[Object] = (),
) -> list[Object]:
    """The rules for all addresses of a model: those as they are, and those below its name."""
    plain = (*route.paths, *_rest(default=default))
    stripped = _rewriting(f"/models/{route.model}", "/", headers, backends, target, filters)
    return [_rule(_direct(route, headers, plain), backends, target, filters), stripped]


def _rule(
    matches: Sequence[Object],
    backends: Sequence[Object],
    target: ClusterTarget,
    filters: Sequence[Object] = (),
) -> Object:
    rule: Object = {"matches": list(matches)}
    rule |= {"filters": list(filters)} if filters else {}
    longest = math.ceil(target.serving.limits.header_s + target.serving.limits.deadline_s)
    return rule | {
        "backendRefs": list(backends),
        "timeouts": {"request": f"{longest + _SPARE_S}s"},
    }


def _rewriting(
    prefix: str,
    replacement: str,
    headers: Sequence[Object],
    backends: Sequence[Object],
    target: ClusterTarget,
    filters: Sequence[Object] = (),
) -> Object:
    path = {"type": "ReplacePrefixMatch", "replacePrefixMatch": replacement}
    rewrite = {"type": "URLRewrite", "urlRewrite": {"path": path}}
    match = {"path": _prefix(prefix)} | ({"headers": list(headers)} if headers else {})
    return _rule([match], backends, target, [rewrite, *filters])


def _hidden(route: Route, *, default: bool) -> Object:
    """Clients get no metrics of a server: a rule without a backend answers with an error."""
    paths = [f"/models/{route.model}{METRICS.path}", *([METRICS.path] if default else [])]
    both = [spelling for path in paths for spelling in (path, f"{path}/")]
    return {"matches": [{"path": _exact(path)} for path in both]}


def _direct(route: Route, headers: Sequence[Object], plain: Iterable[str]) -> list[Object]:
    """Matches for addresses that reach the server as they are."""
    paths = [_prefix(f"/v2/models/{route.model}")]
    paths += [_prefix(path) if path == "/" else _exact(path) for path in plain]
    return [{"path": path} | ({"headers": list(headers)} if headers else {}) for path in paths]


def _rest(*, default: bool) -> tuple[str, ...]:
    return ("/",) if default else ()


def _prefix(path: str) -> Object:
    return {"type": "PathPrefix", "value": path}


def _exact(path: str) -> Object:
    return {"type": "Exact", "value": path}


def _flag_header(flag: FlagRoute) -> Object:
    if flag.header:
        return {"type": "Exact", "name": flag.header, "value": flag.value}
    pair = f"{re.escape(flag.cookie)}={re.escape(flag.value)}"
    # How a regular expression is matched is the gateway's own; this one fits the whole value.
    return {"type": "RegularExpression", "name": "Cookie", "value": f"(.*;\\s*)?{pair}(;.*)?"}


# --- backends ----------------------------------------------------------------------------


def _backend(identity: str, target: ClusterTarget, weight: int | None = None) -> Object:
    name = target.service(identity)
    found: Object = {"group": "", "kind": "Service", "name": name, "port": 80}
    return found if weight is None else found | {"weight": weight}


def _mirror(route: Route, target: ClusterTarget) -> list[Object]:
    if route.mirror is None or not route.mirror[1]:
        return []
    arm, percent = route.mirror
    copies = {"backendRef": _backend(arm.id, target), "percent": percent}
    return [{"type": "RequestMirror", "requestMirror": copies}]

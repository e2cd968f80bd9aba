"""What the Gateway says of a route: an object in the cluster alone sends no request anywhere. Pure.

Gateway API: the controller of a Gateway writes into `status.parents` whether it accepts a route,
whether what the route refers to exists, and for which generation of the route that holds.
"""

from __future__ import annotations

from collections.abc import Iterator

from facemodels.deployment.kubernetes.target import Object

_ASKED = ("Accepted", "ResolvedRefs")


def is_accepted(route: Object) -> bool:
    """Whether the Gateway routes by this route as it is now."""
    generation = int(route["metadata"].get("generation", 0))
    judged = {
        one["type"]
        for one in _conditions(route)
        if one.get("status") == "True" and int(one.get("observedGeneration", 0)) >= generation
    }
    return judged.issuperset(_ASKED)


def refusal(route: Object) -> str:
    """Why the Gateway does not route by it; "" if it does, or has not judged it yet."""
    name = route["metadata"]["name"]
    for one in _conditions(route):
        if one["type"] in _ASKED and one.get("status") == "False":
            why = ": ".join(filter(None, (one.get("reason", ""), one.get("message", ""))))
            return f"the Gateway does not route by HTTPRoute {name}: {why or one['type']}"
    return ""


def _conditions(route: Object) -> Iterator[Object]:
    """The conditions of the Gateways that the route names; others may have written some too."""
    named = {parent["name"] for parent in route["spec"].get("parentRefs", ())}
    for parent in route.get("status", {}).get("parents", ()):
        if parent.get("parentRef", {}).get("name") in named:
            yield from parent.get("conditions", ())

"""Puts one address in front of all versions: Traefik, its configuration and its process.

Modules in reading order:

- `traffic`: decides which version gets which share of the requests. Pure.
- `routes`: the routes in terms of models and versions, and what is wrong with them. Pure.
- `routing`: makes the routes from the traffic and the running servers. Pure.
- `settings`: the router's addresses and limits, and Traefik's static configuration. Pure.
- `configuration`: makes Traefik's dynamic configuration from the routes. Pure.
- `counters`: reads what Traefik counts: requests that died in a server, answers to clients. Pure.
- `traefik`: Traefik's process.
- `published`: writes the routes for Traefik, and remembers them over a restart.
- `listener`: the sockets by which two routers share an address.
- `supervisor`: keeps both routers running; `RouterPair.tend` is one step.

Example:
    router = Router(Path("router"), RouterSettings(port=8080))
    router.start()
    arm = RouteArm("rec-facenet-v2.1.3", 100, ("http://127.0.0.1:9000",))
    name = publish(router.routes, [Route("recognition-facenet", "recognition", (arm,))],
                   router.settings)
    router.applied(name)  # True once Traefik has read them, about 0.1 s later
"""

from __future__ import annotations

from facemodels.deployment.router.published import publish
from facemodels.deployment.router.routes import FlagRoute, Route, RouteArm
from facemodels.deployment.router.settings import RouterSettings
from facemodels.deployment.router.traefik import Router

__all__ = ["FlagRoute", "Route", "RouteArm", "Router", "RouterSettings", "publish"]

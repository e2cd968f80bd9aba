"""One address in front of all versions: Traefik, its files and its process."""

from __future__ import annotations

from facemodels.deployment.router.publication import publish
from facemodels.deployment.router.routes import FlagRoute, Route, RouteArm
from facemodels.deployment.router.settings import RouterSettings
from facemodels.deployment.router.traefik import Router

__all__ = ["FlagRoute", "Route", "RouteArm", "Router", "RouterSettings", "publish"]

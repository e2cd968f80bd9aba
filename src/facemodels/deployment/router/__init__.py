"""One address in front of all versions: Traefik, its files and its process."""

from __future__ import annotations

from facemodels.deployment.router.publication import publish
from facemodels.deployment.router.routes import Arm, FlagRoute, Route
from facemodels.deployment.router.settings import RouterSettings
from facemodels.deployment.router.traefik import Router

__all__ = ["Arm", "FlagRoute", "Route", "Router", "RouterSettings", "publish"]

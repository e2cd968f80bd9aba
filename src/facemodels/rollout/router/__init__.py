"""One address in front of all versions: Traefik, its files and its process."""

from __future__ import annotations

from facemodels.rollout.router.publication import publish
from facemodels.rollout.router.routes import Arm, FlagRoute, Route
from facemodels.rollout.router.settings import RouterSettings
from facemodels.rollout.router.traefik import Router

__all__ = ["Arm", "FlagRoute", "Route", "Router", "RouterSettings", "publish"]

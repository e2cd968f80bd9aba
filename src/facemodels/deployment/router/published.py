"""What the router was given last: it is what serves, also for a controller that just started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from facemodels.deployment.router import Route, Router, publish
from facemodels.deployment.router.traffic import Traffic
from facemodels.files import write_json

_NAME = "serving.json"


@dataclass(frozen=True)
class PublishedModel:
    """One model, as the router has it."""

    traffic: Traffic
    route: Route


class PublishedRoutes:
    """Publishes routes, and keeps those of models of which nothing is ready.

    Args:
        folder: of the environment.
        router: that reads them.
    """

    def __init__(self, folder: Path, router: Router) -> None:
        self._path = folder / _NAME
        self._router = router
        self._generation = ""
        self._models = self._read()

    def _read(self) -> dict[str, PublishedModel]:
        """What a controller before us published; nothing where that cannot be read."""
        from pydantic import TypeAdapter

        with suppress(OSError, ValueError):
            return TypeAdapter(dict[str, PublishedModel]).validate_json(self._path.read_bytes())
        return {}

    def traffic(self) -> dict[str, Traffic]:
        """Who gets the requests, by model."""
        return {model: one.traffic for model, one in self._models.items()}

    def publish(
        self, routes: Sequence[Route], traffic: Mapping[str, Traffic], default: str
    ) -> None:
        """Give the router these routes.

        Args:
            routes: of the models of which something is ready.
            traffic: of every model that shall be served; one without a route here keeps the
                route that it had, all others lose theirs.
            default: the model that answers addresses of no model.

        Raises:
            InputError: a request would find no server; nothing was changed.
            ToolError: they cannot be written; likewise.
        """
        models = {route.model: PublishedModel(traffic[route.model], route) for route in routes}
        claimed = {path for route in routes for path in route.paths}
        for model, one in self._models.items():
            if model in traffic and model not in models:
                free = tuple(path for path in one.route.paths if path not in claimed)
                models[model] = replace(one, route=replace(one.route, paths=free))
        if not models and not self._models:
            return
        merged = [models[model].route for model in sorted(models)]
        chosen = default if default in models else ""
        self._generation = publish(self._router.routes, merged, self._router.settings, chosen)
        if models != self._models:
            write_json(self._path, {model: asdict(one) for model, one in models.items()})
            self._models = models

    @property
    def generation(self) -> str:
        """Names what was published; "" as long as nothing was."""
        return self._generation

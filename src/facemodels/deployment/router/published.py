"""Writes the routes that the router watches, and remembers what was published last.

`publish` writes routes/routes.yaml, which Traefik reads. `PublishedRoutes` also keeps them in
serving.json, so that a controller that has just started knows what serves.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from facemodels import files
from facemodels.deployment.router.configuration import ROUTES, configuration, generation
from facemodels.deployment.router.routes import Route
from facemodels.deployment.router.settings import RouterSettings
from facemodels.deployment.router.traffic import Traffic
from facemodels.errors import ToolError

_SERVING = "serving.json"


def publish(
    folder: Path,
    routes: Sequence[Route],
    settings: RouterSettings,
    default: str = "",
    waiting: Iterable[str] = (),
) -> str:
    """Write the routes into the folder that the router watches, if they changed.

    The temporary file lies in the same folder; Traefik ignores its suffix.

    Args:
        folder: the folder that the router watches.
        routes: one route for each model.
        settings: the limits.
        default: the model that answers addresses that name no model; "" chooses the first one.
        waiting: the models that must be served and have no route yet.

    Returns:
        The name of this configuration, for `Router.applied`.

    Raises:
        InputError: a request would find no server. The file is unchanged.
        ToolError: the file cannot be written. It is unchanged.
    """
    text, name = _written(tuple(routes), settings, default, tuple(waiting))
    path = folder / ROUTES
    try:
        if not path.is_file() or path.read_bytes() != text.encode():
            folder.chmod(0o700)  # the routes name tokens
            files.write_text(path, text)
    except OSError as error:
        raise ToolError(
            f"{path} cannot be written: {error}. The routes are as they were.",
            "See that its disk has room and that you may write there; it is tried again.",
        ) from error
    return name


@functools.lru_cache(maxsize=4)  # it is asked ten times a second, and is seldom another
def _written(
    routes: tuple[Route, ...], settings: RouterSettings, default: str, waiting: tuple[str, ...]
) -> tuple[str, str]:
    """The content of the file with the routes, and the name of this configuration."""
    wanted = configuration(routes, settings, default, waiting)
    # JSON is YAML. Traefik expands Go templates in its files, so no text may contain `{{`.
    return json.dumps(wanted, indent=1).replace("{{", "\\u007b{"), generation(wanted)


@dataclass(frozen=True)
class PublishedModel:
    """The traffic and the route of one model that were published last."""

    traffic: Traffic
    route: Route


class PublishedRoutes:
    """Publishes routes, and keeps the last route of a model without a ready version.

    Args:
        folder: the state folder of the environment.
        write: gives the router its routes, the default model and the models that wait for a route,
            as `publish` does with the same errors; returns the name of this configuration.
    """

    def __init__(
        self, folder: Path, write: Callable[[Sequence[Route], str, Sequence[str]], str]
    ) -> None:
        self._path = folder / _SERVING
        self._write = write
        self._generation = ""
        self._models = self._read()
        self._past: set[str] = set()  # versions of routes before these

    def _read(self) -> dict[str, PublishedModel]:
        """Read what an earlier controller published; nothing if the file is unreadable."""
        from pydantic import TypeAdapter

        with suppress(OSError, ValueError):
            return TypeAdapter(dict[str, PublishedModel]).validate_json(self._path.read_bytes())
        return {}

    @property
    def models(self) -> Mapping[str, PublishedModel]:
        """What was published last, by model."""
        return self._models

    def traffic(self) -> dict[str, Traffic]:
        """How the requests are shared out, by model."""
        return {model: one.traffic for model, one in self._models.items()}

    def publish(
        self,
        routes: Sequence[Route],
        traffic: Mapping[str, Traffic],
        default: str,
        running: Set[str] | None = None,
    ) -> None:
        """Give the router these routes.

        Args:
            routes: the routes of the models that have a ready version.
            traffic: the traffic of every model that must be served. Such a model keeps its last
                route if it has none in `routes` and a server of it runs; other models lose theirs.
            default: the model that answers addresses that name no model.
            running: the URLs of the servers that run, ready or not; None keeps every last route.

        Raises:
            InputError: a request would find no server. Nothing was changed.
            ToolError: the routes cannot be written. Nothing was changed.
        """
        models = {route.model: PublishedModel(traffic[route.model], route) for route in routes}
        claimed = {path for route in routes for path in route.paths}
        for model, one in self._models.items():
            urls = {url for arm in one.route.running for url in arm.urls}
            lives = running is None or bool(urls & running)
            if model in traffic and model not in models and lives:
                free = tuple(path for path in one.route.paths if path not in claimed)
                models[model] = replace(one, route=replace(one.route, paths=free))
        merged = [models[model].route for model in sorted(models)]
        chosen = default if default in models else ""
        waiting = sorted(traffic.keys() - models.keys())
        self._generation = self._write(merged, chosen, waiting)
        if models != self._models:
            self._past |= {arm.id for one in self._models.values() for arm in one.route.running}
            files.write_json(self._path, {model: asdict(one) for model, one in models.items()})
            self._models = models

    def past(self, *, applied: bool) -> set[str]:
        """The versions of earlier routes, as long as a router may still use these.

        Args:
            applied: whether every router uses the routes that were published last.
        """
        if applied:
            self._past.clear()
        return self._past

    @property
    def generation(self) -> str:
        """The name of the last published configuration; "" if there is none yet."""
        return self._generation

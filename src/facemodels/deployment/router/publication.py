"""Give the router its routes: checked, whole, and only when they changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from facemodels import files
from facemodels.deployment.router.configuration import configuration, generation
from facemodels.deployment.router.routes import Route
from facemodels.deployment.router.settings import RouterSettings
from facemodels.errors import ToolError

NAME = "routes.yaml"


def publish(
    folder: Path, routes: Sequence[Route], settings: RouterSettings, default: str = ""
) -> str:
    """Write the routes where the router watches.

    The temporary file lies beside: its name has no ending that Traefik reads.

    Args:
        folder: that the router watches.
        routes: one a model.
        settings: limits.
        default: the model that answers addresses of no model; the first one if empty.

    Returns:
        A name of what was published, for `Router.applied`.

    Raises:
        InputError: a request would find no server; the file is as it was.
        ToolError: it cannot be written; likewise.
    """
    wanted = configuration(routes, settings, default)
    # JSON is YAML. Traefik reads its files as templates of Go: no text may open one.
    text = json.dumps(wanted, indent=1).replace("{{", "\\u007b{")
    path = folder / NAME
    try:
        if not path.is_file() or path.read_bytes() != text.encode():
            files.write_text(path, text)
    except OSError as error:
        raise ToolError(
            f"{path} cannot be written: {error}. The routes are as they were.",
            "See that its disk has room and that you may write there; it is tried again.",
        ) from error
    return generation(wanted)

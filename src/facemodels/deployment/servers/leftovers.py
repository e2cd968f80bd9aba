"""Processes of an environment whose controller is gone."""

from __future__ import annotations

from pathlib import Path

from facemodels.deployment.servers import process as processes
from facemodels.deployment.servers.process import Process

_ROUTER = ("router", "traefik.json")
STATUS = "status.json"
_GRACE_S = 25.0  # of a server: its own time of grace and a little more


def remains(folder: Path) -> list[Process]:
    """Router and servers that run, the router first: who is not asked ends in peace."""
    files = [folder.joinpath(*_ROUTER), *sorted((folder / "servers").glob("*.json"))]
    found = (processes.adopt(path) for path in files)
    return [process for process in found if process is not None]


def end_all(folder: Path) -> None:
    """End them all, and those that no file names."""
    for process in remains(folder):
        process.end(_GRACE_S)
    for stray in processes.strays(folder):
        stray.end(0)
    (folder / STATUS).unlink(missing_ok=True)  # it would say that they serve

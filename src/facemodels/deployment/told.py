"""Remembers which last change of a model each operator of this machine was told of."""

from __future__ import annotations

import getpass
import json
from contextlib import suppress
from pathlib import Path

from facemodels.files import write_json

_FOLDER = "told"  # in the state folder, with one file an operator


def was_told(folder: Path, model: str, tag: str) -> bool:
    """Whether the operator was told that a tag is the last change of a model.

    Args:
        folder: the state folder of the environment.
        model: the model's name.
        tag: the tag of the change.
    """
    return _read(folder).get(model) == tag


def tell(folder: Path, model: str, tag: str) -> None:
    """Note that the operator was told; a disk that is full forgets it."""
    with suppress(OSError):
        path = _path(folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {**_read(folder), model: tag})


def _path(folder: Path) -> Path:
    return folder / _FOLDER / f"{getpass.getuser()}.json"


def _read(folder: Path) -> dict[str, str]:
    with suppress(OSError, ValueError, KeyError):
        found = json.loads(_path(folder).read_bytes())
        if isinstance(found, dict):
            return found
    return {}

"""Weights with the config that says how to load them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facemodels.errors import InputError
from facemodels.models import architecture
from facemodels.params import load_yaml


@dataclass(frozen=True)
class Trained:
    """A folder that train wrote, or a package: weights with their config beside."""

    task: str
    architecture: str
    network: Mapping[str, Any]
    weights: Path


def find_trained(path: Path) -> Trained:
    """The weights at `path` (the file or its folder) and the config beside them.

    Raises:
        InputError: no weights or no config are there.
    """
    folder = path if path.is_dir() else path.parent
    if not path.exists():
        raise InputError(f"{path} does not exist.", "Point to model.pt or its folder.")
    if not (folder / "config.yaml").is_file():
        raise InputError(
            f"{path} has no config.yaml beside it, so its architecture is unknown.",
            "Keep the weights in the folder that train wrote.",
        )
    config = load_yaml(folder / "config.yaml")
    try:
        task, name, network = config["task"], config["architecture"], config["network"]
    except KeyError as error:
        raise InputError(f"{folder / 'config.yaml'} has no {error}.") from error
    weights = path if path.is_file() else folder / architecture(task, name).WEIGHTS
    if not weights.is_file():
        raise InputError(f"{weights} does not exist.", "Point to model.pt or its folder.")
    return Trained(task, name, network, weights)

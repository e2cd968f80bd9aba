"""Weights with the config that says how to load them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facemodels.errors import InputError
from facemodels.models import AnyArchitecture, architecture
from facemodels.package.verify import ONNX
from facemodels.params import load_yaml


@dataclass(frozen=True)
class Trained:
    """Weights of a folder that train wrote, or of a package.

    Attributes:
        architecture: the architecture with the `network` parameters of config.yaml.
        weights: the file of weights.
    """

    architecture: AnyArchitecture
    weights: Path


def find_trained(path: Path) -> Trained:
    """Find the weights at `path` (the file or its folder) and read the config beside them.

    Raises:
        InputError: no weights or no config are there, or they do not fit an architecture.
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
    if config.get("weights") == ONNX:
        raise InputError(
            f"{folder} was imported as a graph: it has no weights of an architecture.",
            "Its figures are in its metadata.json; `facemodels compare` measures it anew.",
        )
    try:
        task, name, network = config["task"], config["architecture"], config["network"]
    except KeyError as error:
        raise InputError(f"{folder / 'config.yaml'} has no {error}.") from error
    model = architecture(task, name).of(network)
    weights = path if path.is_file() else folder / model.weights_file
    if not weights.is_file():
        raise InputError(f"{weights} does not exist.", "Point to model.pt or its folder.")
    return Trained(model, weights)

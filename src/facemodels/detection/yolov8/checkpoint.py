"""Reads the checkpoints that ultralytics publishes, without running what is pickled in them.

Such a file is a pickled network, and unpickling runs code. torch's restricted reader
(`weights_only`) makes objects of listed classes only, so the classes of torch's layers and of
ultralytics' layers are listed here, and a file that names anything else is refused. The digest is
verified before (`training.initial_weights`).
"""

from __future__ import annotations

import importlib
import types
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from facemodels.detection.yolov8 import network as yolo
from facemodels.errors import DataError
from facemodels.training.weights import UNREADABLE

# Modules whose classes of layers a checkpoint may name.
_LAYERS = ("torch.nn.modules.", "ultralytics.nn.")
# What else ultralytics' own files name: plain containers of values.
_VALUES = ("ultralytics.utils.IterableSimpleNamespace", "pathlib.PosixPath", "pathlib.WindowsPath")


def load_into(network: nn.Module, path: Path) -> None:
    """Load weights from a state dict or a published checkpoint; see `YoloV8.load_initial`.

    Args:
        network: from `network.build`.
        path: the file; its digest has been verified.

    Raises:
        DataError: the file cannot be read, names classes that are no layers, or holds the
            weights of another network.
    """
    state = _state_of(path)
    own = network.state_dict()
    fitting = {
        name: value.to(own[name].dtype)
        for name, value in state.items()
        if name in own and own[name].shape == value.shape
    }
    prefix = class_branch(network)
    odd = sorted(name for name in {*own, *state} - fitting.keys() if not name.startswith(prefix))
    if odd:
        raise DataError(
            f"{path} does not hold weights of this YOLOv8: {len(odd)} tensors are missing or of "
            f"another shape, such as {odd[0]}.",
            "Set network.scale to that of the file.",
        )
    network.load_state_dict(fitting, strict=False)


def class_branch(network: nn.Module) -> str:
    """The prefix of the names of the branch whose width depends on the number of classes."""
    layers: Any = network
    return f"model.{len(layers.model) - 1}.cv3."


def _state_of(path: Path) -> dict[str, Tensor]:
    """The state dict of a file of ours, or of the network inside a checkpoint."""
    try:
        # torch wrote no ZIP before 1.6; of such a file only a plain state dict is read.
        zipped = zipfile.is_zipfile(path)
        named = torch.serialization.get_unsafe_globals_in_checkpoint(path) if zipped else []
        with torch.serialization.safe_globals(_allowed(named, path)):
            value = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(
            f"{path} is no checkpoint that can be read: {reason}.",
            "Fetch it again, or give a state dict.",
        ) from error
    if isinstance(value, dict) and ({"model", "ema"} & value.keys()):
        # ultralytics keeps the average of training, where there is one, as `ema`.
        value = value.get("ema") or value.get("model")
    state = value.float().state_dict() if isinstance(value, nn.Module) else value
    if not isinstance(state, dict) or not all(isinstance(one, Tensor) for one in state.values()):
        raise DataError(f"{path} holds no network and no state dict.", "Give one of the two.")
    return state


def _allowed(named: list[str], path: Path) -> list[Any]:
    """The classes that a file names, if all of them are layers or plain values."""
    if named:
        yolo.import_layers()
    found, refused = [], []
    for name in named:
        value = _value_of(name)
        layer = isinstance(value, type) and issubclass(value, nn.Module)
        if (name.startswith(_LAYERS) and layer) or (name in _VALUES and isinstance(value, type)):
            found.append(value)
        else:
            refused.append(name)
    if refused:
        raise DataError(
            f"{path} names {', '.join(sorted(refused))}, which is no layer of a network: reading "
            "it could run code.",
            "Do not load it. Ask where it comes from.",
        )
    return found


def _value_of(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    if not name.startswith(_LAYERS) and name not in _VALUES:
        return None
    try:
        return getattr(importlib.import_module(module), attribute, None)
    except ImportError:
        return types.SimpleNamespace()

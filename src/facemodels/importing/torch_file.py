"""The weights of a known architecture, as torch or safetensors keep them, to ONNX."""

from __future__ import annotations

import io
import pickle
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facemodels.errors import InputError
from facemodels.importing.safetensors import tensors
from facemodels.models import AnyArchitecture
from facemodels.params import Params

if TYPE_CHECKING:
    from torch import Tensor

_HOLDERS = ("state_dict", "model_state_dict", "model", "net")  # of training checkpoints
_SHOWN = 5  # keys in a message


@dataclass(frozen=True)
class ExportedWeights:
    """Weights that were brought into an architecture and exported.

    Attributes:
        graph: the bytes of the ONNX file.
        max_abs_error: the largest absolute difference between ONNX Runtime and torch.
        left_out: keys of the file that the network has no place for.
    """

    graph: bytes
    max_abs_error: float
    left_out: tuple[str, ...]


def network_values(
    architecture: str, known: Params | None, task: str, overrides: Mapping[str, Any]
) -> dict[str, Any]:
    """The `network` parameters: those of params.yaml, and what the importer says otherwise."""
    models = known.models.values() if known is not None else ()
    found = [one.network for one in models if (one.task, one.architecture) == (task, architecture)]
    return {**(found[0] if found else {}), **overrides}


def export(
    data: bytes, name: str, architecture: AnyArchitecture, *, drop_unexpected: bool
) -> ExportedWeights:
    """Load weights into the architecture's network and export it.

    Args:
        data: the bytes of the file.
        name: the file's name, for messages.
        architecture: the architecture with its network parameters.
        drop_unexpected: whether keys that the network does not have are left out.

    Raises:
        InputError: the file holds no weights of this network; the message names the keys.
    """
    from facemodels.architecture.torch_architecture import TorchArchitecture

    if not isinstance(architecture, TorchArchitecture) or "onnx" not in architecture.runtimes:
        raise InputError(
            f"{architecture.name} has no torch network with one ONNX graph.",
            "Give --onnx, or another --architecture.",
        )
    from facemodels.training.weights import unwrapped

    network = architecture.build()
    state = unwrapped(_state(_read(data, name)), network.state_dict())
    left_out = _fitting(state, network.state_dict(), name, architecture, drop=drop_unexpected)
    network.load_state_dict({key: state[key] for key in network.state_dict()})
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "graph.onnx")
        error = architecture.export_network(network.eval(), path)
        return ExportedWeights(path.read_bytes(), error, left_out)


def _read(data: bytes, name: str) -> Any:
    """What a file holds; only tensors and plain containers are read."""
    import torch

    if name.endswith(".safetensors"):
        return {key: torch.from_numpy(value) for key, value in tensors(data, name).items()}
    try:
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{name} holds more than weights, which would run code when it is read.",
            "Where it was made, save its weights alone: `torch.save(model.state_dict(), FILE)`.",
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise InputError(
            f"{name} is no file of torch: {reason}.", "Give a state dict, or .safetensors."
        ) from error


def _state(found: Any) -> dict[str, Tensor]:
    """The state dict inside of a checkpoint."""
    import torch

    for holder in _HOLDERS:
        if isinstance(found, dict) and isinstance(found.get(holder), dict):
            found = found[holder]
    if not isinstance(found, dict):
        raise InputError(
            f"the file holds a {type(found).__name__}, no state dict.",
            "Save it with `torch.save(model.state_dict(), FILE)`.",
        )
    return {str(key): value for key, value in found.items() if isinstance(value, torch.Tensor)}


def _fitting(
    state: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    name: str,
    architecture: AnyArchitecture,
    *,
    drop: bool,
) -> tuple[str, ...]:
    """Check names and shapes; the keys that are left out."""
    missing = sorted(wanted.keys() - state.keys())
    unexpected = sorted(state.keys() - wanted.keys())
    shapes = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(wanted[key].shape)}"
        for key in sorted(wanted.keys() & state.keys())
        if state[key].shape != wanted[key].shape
    ]
    extra = [] if drop else unexpected
    listed = (("missing", missing), ("unexpected", extra), ("of another shape", shapes))
    reasons = [f"{len(keys)} {kind}: {_some(keys)}" for kind, keys in listed if keys]
    if reasons:
        only_extra = not missing and not shapes
        raise InputError(
            f"{name} does not hold the weights of {architecture.title}: {'; '.join(reasons)}.",
            "--drop-unexpected leaves these out; see that they are a classifier's alone."
            if only_extra
            else "Give its --architecture, and its network with --network KEY=VALUE.",
        )
    return tuple(unexpected)


def _some(keys: list[str]) -> str:
    rest = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return ", ".join(keys[:_SHOWN]) + rest

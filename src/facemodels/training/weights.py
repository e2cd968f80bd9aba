"""Weights on disk: a plain state dict, the same bytes for the same tensors."""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from facemodels.errors import DataError
from facemodels.files import write_bytes

# What torch's reader raises for bytes that are no file of weights, by where it meets them.
UNREADABLE = (
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    AssertionError,
    OverflowError,
    MemoryError,
    struct.error,
    pickle.UnpicklingError,
)

# In front of every name: DataParallel's and DistributedDataParallel's, torch.compile's.
_WRAPPERS = ("module.", "_orig_mod.")
_SHOWN = 6  # names of a kind that a message lists


def save_state(state: dict[str, Tensor], path: Path) -> None:
    """Write a state dict; through memory, since torch puts a file's name into its bytes."""
    buffer = io.BytesIO()
    torch.save({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}, buffer)
    write_bytes(path, buffer.getvalue())


def load_state(network: nn.Module, path: Path, *, leave_out: str = "") -> None:
    """Load weights into a network of their shape; pickled objects are refused.

    Prefixes that wrappers of a network leave in front of every name are taken off.

    Args:
        network: gets the weights.
        path: a file of `save_state`, or any state dict that `torch.save` wrote.
        leave_out: a prefix of names that the file may have and the network lacks, such as those
            of a classifier; "" for none.

    Raises:
        DataError: not a state dict, or one of another network; it names what is too many, what
            is missing and what has another shape.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        state = {_unwrapped(name, state): value for name, value in state.items()}
        if leave_out:
            state = {name: value for name, value in state.items() if not name.startswith(leave_out)}
        if reason := _difference(state, network.state_dict()):
            raise _misfit(network, path, reason)
        network.load_state_dict(state)
    except UNREADABLE as error:
        raise _misfit(
            network, path, (str(error) or type(error).__name__).splitlines()[0]
        ) from error


def _unwrapped(name: str, state: Mapping[str, Any]) -> str:
    """A name without the prefixes that all names of a state dict have from wrappers."""
    for prefix in _WRAPPERS:
        if all(other.startswith(prefix) for other in state):
            return _unwrapped(
                name.removeprefix(prefix), {key.removeprefix(prefix): None for key in state}
            )
    return name


def _difference(state: Mapping[str, Any], wanted: Mapping[str, Tensor]) -> str:
    """In what the names and shapes differ; "" if in nothing."""
    other = [
        f"{name} is {tuple(state[name].shape)} and not {tuple(wanted[name].shape)}"
        for name in sorted(state.keys() & wanted.keys())
        if state[name].shape != wanted[name].shape
    ]
    lists = (
        ("too many", sorted(state.keys() - wanted.keys())),
        ("missing", sorted(wanted.keys() - state.keys())),
        ("of another shape", other),
    )
    return "; ".join(f"{kind}: {_first(names)}" for kind, names in lists if names)


def _first(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _misfit(network: nn.Module, path: Path, reason: str) -> DataError:
    return DataError(
        f"{path} does not hold weights of {type(network).__name__}: {reason}.",
        "Check that the config beside it is the one it was trained with.",
    )

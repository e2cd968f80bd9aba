"""Weights on disk: a plain state dict, the same bytes for the same tensors."""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

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

Value = TypeVar("Value")
_SHOWN = 6  # names of a kind that a message lists


def save_state(state: dict[str, Tensor], path: Path) -> None:
    """Write a state dict; through memory, since torch puts a file's name into its bytes."""
    buffer = io.BytesIO()
    torch.save({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}, buffer)
    write_bytes(path, buffer.getvalue())


def load_state(network: nn.Module, path: Path, *, leave_out: str = "") -> None:
    """Load weights into a network of their shape; pickled objects are refused.

    Prefixes that modules around a network leave in front of every name are taken off.

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
        state = unwrapped(state, network.state_dict())
        if leave_out:
            state = {name: value for name, value in state.items() if not name.startswith(leave_out)}
        if reason := _difference(state, network.state_dict()):
            raise _misfit(network, path, reason)
        network.load_state_dict(state)
    except UNREADABLE as error:
        raise _misfit(network, path, _why_unreadable(error)) from error


def _why_unreadable(error: Exception) -> str:
    """What is wrong with a file, in one line."""
    if isinstance(error, pickle.UnpicklingError):
        # Torch's own advice is to read it without the guard, which runs the code in it.
        return "it is no file of `torch.save(network.state_dict(), FILE)`, or holds more than that"
    return (str(error) or type(error).__name__).splitlines()[0]


def unwrapped(state: Mapping[str, Value], wanted: Collection[str]) -> dict[str, Value]:
    """A state dict under the names of a network, whatever modules were around it.

    DataParallel puts `module.` in front of every name, torch.compile `_orig_mod.`, and trainers
    have attributes such as `model.backbone.`.

    Args:
        state: values by name.
        wanted: the names that the network has.

    Returns:
        The same values; the first part that all names share is taken off as long as the network
        knows none of them.
    """
    found = dict(state)
    while found and not found.keys() & set(wanted):
        prefix = f"{next(iter(found)).partition('.')[0]}."
        if not all(name.startswith(prefix) for name in found):
            break
        found = {name.removeprefix(prefix): value for name, value in found.items()}
    return found


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

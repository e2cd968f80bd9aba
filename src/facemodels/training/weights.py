"""Weights on disk: a plain state dict, the same bytes for the same tensors."""

from __future__ import annotations

import io
import pickle
import struct
from pathlib import Path

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


def save_state(state: dict[str, Tensor], path: Path) -> None:
    """Write a state dict; through memory, since torch puts a file's name into its bytes."""
    buffer = io.BytesIO()
    torch.save({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}, buffer)
    write_bytes(path, buffer.getvalue())


def load_state(network: nn.Module, path: Path, *, leave_out: str = "") -> None:
    """Load weights into a network of their shape; pickled objects are refused.

    Args:
        network: gets the weights.
        path: a file of `save_state`, or any state dict that `torch.save` wrote.
        leave_out: a prefix of names that the file may have and the network lacks, such as those
            of a classifier; "" for none.

    Raises:
        DataError: not a state dict, or one of another network.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if leave_out:
            state = {name: value for name, value in state.items() if not name.startswith(leave_out)}
        network.load_state_dict(state)
    except UNREADABLE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(
            f"{path} does not hold weights of {type(network).__name__}: {reason}.",
            "Check that the config beside it is the one it was trained with.",
        ) from error

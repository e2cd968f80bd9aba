"""What a training computes on: the device of a process, and whether it can do what is asked."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor

from facemodels.determinism import settled
from facemodels.errors import InputError
from facemodels.training.settings import TorchTraining


def require_possible(settings: TorchTraining) -> None:
    """Check that this machine, in the mode that is set, has what the settings ask for.

    Raises:
        InputError: there is no CUDA device; or bfloat16 would be emulated.
    """
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "train.device is cuda, but torch sees no CUDA device.", "Set train.device=cpu."
        )
    if settings.mixed_precision and settings.device == "cpu" and settled() == "portable":
        raise InputError(
            "train.mixed_precision wants bfloat16, which AVX2 has not: determinism: portable, "
            "which keeps the CPU to AVX2, would make a step twenty times as long.",
            "Set determinism=machine, or train.mixed_precision=false.",
        )


def device_of_process(kind: str) -> torch.device:
    """The device that this process computes on: on a machine with several, each has its own.

    Args:
        kind: cpu or cuda.
    """
    if kind == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device(kind)


def to_device(batch: Any, device: torch.device) -> Any:
    """Move the tensors of a batch, which may be nested in tuples, lists and dicts."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {key: to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, tuple | list):
        return type(batch)(to_device(value, device) for value in batch)
    return batch

"""Stops a training at the step whose numbers are no longer numbers, and keeps NaN out of files.

A loss that is NaN makes every later weight NaN, and nothing after it fails: the weights would be
written, packaged and served. So each step is judged before the optimizer moves a weight, weights
are judged before they are written, and metrics before anything is chosen by them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facemodels.errors import FacemodelsError

IDLE_STEPS = 50  # steps in a row with a loss of exactly 0, after which the reader is told


class DivergedError(FacemodelsError):
    """A loss, a gradient, a weight or a metric of a training is NaN or infinite."""


class StepGuard:
    """Judges every step of a training.

    Args:
        learning_rate: the peak rate, for the messages.
        checkpoint: the file that holds the last good state, for the messages.
    """

    def __init__(self, learning_rate: float, checkpoint: Path) -> None:
        self._learning_rate = learning_rate
        self._checkpoint = checkpoint
        self._idle = 0

    def step(self, step: int, loss: Tensor, gradient_norm: Tensor) -> float:
        """Return the loss of a step as a number.

        Both values are read from the device at once, because each read waits for it.

        Args:
            step: number of the step, from 0.
            loss: the scalar loss.
            gradient_norm: the norm of all gradients, before they are clipped.

        Raises:
            DivergedError: one of them is not finite.
        """
        value, norm = torch.stack([loss.detach().float(), gradient_norm.detach().float()]).tolist()
        if not (math.isfinite(value) and math.isfinite(norm)):
            raise self._error(
                f"at step {step} the loss is {value:g} and the gradient norm {norm:g}"
            )
        self._idle = self._idle + 1 if value == 0 else 0
        if self._idle == IDLE_STEPS:
            sys.stderr.write(
                f"Warning: the loss was exactly 0 for {IDLE_STEPS} steps, to step {step}: nothing "
                "is learned any more (no triplet is left within the margin, or a batch is empty). "
                "Raise the margin of the loss, or look at the batches.\n"
            )
        return float(value)

    def weights(self, step: int, states: Iterable[Mapping[str, Any]]) -> None:
        """Judge the weights after `step` steps, before they are written.

        Raises:
            DivergedError: a tensor of a state dict has a value that is not finite.
        """
        for state in states:
            for name, value in state.items():
                if isinstance(value, Tensor) and not _is_finite(value):
                    raise self._error(f"after step {step - 1} the weights of {name} are not finite")

    def metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Judge the metrics of a validation after `step` steps.

        Raises:
            DivergedError: a metric is not finite.
        """
        bad = [f"{name} {value:g}" for name, value in metrics.items() if not math.isfinite(value)]
        if bad:
            raise self._error(f"the validation after step {step - 1} gives {', '.join(bad)}")

    def _error(self, what: str) -> DivergedError:
        kept = (
            f" {self._checkpoint} holds the last good state."
            if self._checkpoint.exists()
            else " No checkpoint was written before it."
        )
        return DivergedError(
            f"The training diverged: {what}. Nothing is written from it.{kept}",
            f"Lower train.learning_rate (it is {self._learning_rate:g}) or train.clip_norm, turn "
            "train.mixed_precision off, or look for values in the data that are not finite.",
        )


def _is_finite(value: Tensor) -> bool:
    return not value.is_floating_point() or bool(torch.isfinite(value).all())

"""What an architecture is asked to train, and the shapes that its users see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facemodels.progress import Advance


@dataclass(frozen=True)
class TrainJob:
    """One training: where the data lies, the parameters, and where results go.

    Attributes:
        data: folder with the splits `train` and `val`.
        network: the architecture's `network` parameters.
        train: the architecture's `train` parameters.
        output: folder that gets the weights.
        checkpoint: file that a killed training resumes from.
        advance: told the number of units done.
        log: told every validation record (`step`, `loss`, metrics).
    """

    data: Path
    network: Mapping[str, Any]
    train: Mapping[str, Any]
    output: Path
    checkpoint: Path
    advance: Advance
    log: Callable[[Mapping[str, float]], None]


@dataclass(frozen=True)
class Interface:
    """Shapes that a user of the model sees; a change is an incompatible one.

    Attributes:
        input_shape: height, width, channels (0 where free).
        output_shape: without the batch axis (0 where free).
    """

    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]

"""The evaluation of each task."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from facemodels.evaluate import detection, landmarks, recognition
from facemodels.evaluate.evaluation import Evaluation

_PROTOCOLS: dict[str, Callable[[Any, Path], Evaluation]] = {
    "detection": detection.evaluate,
    "recognition": recognition.evaluate,
    "landmarks": landmarks.evaluate,
}


def evaluate(task: str, predictor: Any, data: Path) -> Evaluation:
    """Evaluate a predictor of `task` on prepared `data` (splits `val` and `test`)."""
    return _PROTOCOLS[task](predictor, data)

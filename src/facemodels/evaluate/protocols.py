"""The evaluation of each task: `facemodels.evaluate.<task>.evaluate`."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from facemodels.evaluate.evaluation import Evaluation
from facemodels.evaluate.stamp import stamp


def evaluate(task: str, predictor: Any, data: Path, *others: Any) -> Evaluation:
    """Evaluate a predictor of `task` on prepared `data` (splits `val` and `test`).

    The module is imported when it is called for, so that the pipeline can tell an edit of
    one task's protocol from another's. Its `VERSION` and `THRESHOLD` go into the stamp.

    Args:
        task: detection, recognition or landmarks.
        predictor: the model.
        data: the prepared folder.
        others: what else the protocol takes: of recognition, the gallery's model and a threshold.
    """
    protocol = import_module(f"facemodels.evaluate.{task}")
    measured = cast(Evaluation, protocol.evaluate(predictor, data, *others))
    return replace(
        measured,
        stamp=stamp(
            data,
            evaluator=f"{task} {protocol.VERSION}",
            threshold=protocol.THRESHOLD,
            own=measured.stamp,
        ),
    )

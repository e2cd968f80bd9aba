"""Landmarks: inter-ocular NME and its cumulative error distribution (300-W)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facemodels.data.splits import NO_GROUP, LandmarkSplit, group_names
from facemodels.evaluate.evaluation import Evaluation, Resampled
from facemodels.landmarks import metrics
from facemodels.landmarks.task import LandmarkModel
from facemodels.progress import progress

VERSION = 1  # raised when a figure is measured in another way
THRESHOLD = ""  # the task has none


def evaluate(model: LandmarkModel, data: Path) -> Evaluation:
    """Measure on `test`, in the true boxes; the task has no threshold to choose."""
    test = LandmarkSplit.load(data / "test")
    points = np.empty_like(test.points)
    with progress("fit test faces", len(test)) as advance:
        for row in range(len(test)):
            points[row] = model.fit([test.images[row]], test.boxes[row : row + 1])[0]
            advance(1)
    errors = metrics.nme(points, test.points)
    curve = metrics.ced(errors)
    names = group_names(data)
    return Evaluation(
        metrics={
            "nme": float(errors.mean()),  # inter-ocular
            "auc_at_0.08": metrics.auc(errors),
            "failure_rate_at_0.08": metrics.failure_rate(errors),
        },
        groups={
            names[group]: {
                "nme": float(errors[test.groups == group].mean()),
                "auc_at_0.08": metrics.auc(errors[test.groups == group]),
                "failure_rate_at_0.08": metrics.failure_rate(errors[test.groups == group]),
                "faces": float((test.groups == group).sum()),
            }
            for group in np.unique(test.groups[test.groups != NO_GROUP])
        },
        curves={
            "ced": [
                {"nme": float(error), "share": float(share)}
                for error, share in zip(curve.errors, curve.fractions, strict=True)
            ]
        },
        threshold=None,
        primary="nme",
        resampled={
            "nme": Resampled(
                score=lambda faces: float(errors[faces].mean()),
                units=len(test),
                higher_is_better=False,
            )
        },
    )

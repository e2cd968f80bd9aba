"""Detection: AP by COCO's protocol, precision, recall and F1 at the chosen confidence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facemodels.data.splits import DetectionSplit, group_names
from facemodels.detection import coco, metrics
from facemodels.detection.task import DetectionModel, Detections
from facemodels.evaluate import wider
from facemodels.evaluate.evaluation import Evaluation, Resampled
from facemodels.evaluate.side_by_side import side_by_side
from facemodels.progress import progress

VERSION = 2  # raised when a figure is measured in another way
THRESHOLD = "best F1 on val"
_CURVE_POINTS = 200  # enough for a plot


def evaluate(detector: DetectionModel, data: Path) -> Evaluation:
    """Choose the confidence with the best F1 on `val`, measure on `test`."""
    val, test = (DetectionSplit.load(data / name) for name in ("val", "test"))
    threshold = _threshold(_matches(_detected(detector, val, "validation scenes"), val))
    found = _detected(detector, test, "test scenes")
    matches = _matches(found, test)
    at = metrics.rates_at(matches, threshold)
    precisions = coco.average_precisions(
        [faces.boxes for faces in found], [faces.scores for faces in found], _truths(test)
    )
    curve = metrics.pr_curve(matches)
    keep = np.unique(np.linspace(0, len(curve.recall) - 1, _CURVE_POINTS).astype(int))
    names = group_names(data)
    return Evaluation(
        metrics={
            **precisions,
            **_wider(found, test, names),
            "precision": at.precision,
            "recall": at.recall,
            "f1": at.f1,
        },
        groups={
            names[group]: {"recall": value.recall, "faces": float(value.n_truth)}
            for group, value in metrics.recall_by_group(matches, threshold).items()
        },
        curves={
            "precision_recall": [
                {"recall": float(curve.recall[i]), "precision": float(curve.precision[i])}
                for i in keep
                if len(curve.recall)
            ]
        },
        threshold=threshold,
        primary="ap50_95",
        resampled={
            "ap50_95": Resampled(
                score=lambda images: metrics.ap50_95(matches, images=images),
                units=len(test),
                higher_is_better=True,
            )
        },
    )


def _wider(
    found: Sequence[Detections], test: DetectionSplit, names: Sequence[str]
) -> dict[str, float]:
    """AP by WIDER FACE's protocol: of its levels where the data has them, else of its heights."""
    truths = _truths(test)
    boxes, scores = [faces.boxes for faces in found], [faces.scores for faces in found]
    return {
        f"ap_{name}": wider.average_precision(boxes, scores, truths, flags)
        for name, flags in wider.of_split(test, names).items()
    }


def _threshold(matches: metrics.Matches) -> float:
    """The best confidence, or 1 for a detector that found nothing at all."""
    return metrics.best_f1_threshold(matches) if len(matches.scores) else 1.0


def _detected(detector: DetectionModel, split: DetectionSplit, label: str) -> list[Detections]:
    found: list[Detections] = []
    with progress(f"detect {label}", len(split)) as advance:
        for faces in side_by_side(lambda image: detector.detect([image]), split.images):
            found += faces
            advance(1)
    return found


def _truths(split: DetectionSplit) -> list[NDArray[np.float32]]:
    return [split.boxes_of(index) for index in range(len(split))]


def _matches(found: Sequence[Detections], split: DetectionSplit) -> metrics.Matches:
    return coco.match(
        [faces.boxes for faces in found],
        [faces.scores for faces in found],
        _truths(split),
        [split.box_group[split.box_image == index] for index in range(len(split))],
    )

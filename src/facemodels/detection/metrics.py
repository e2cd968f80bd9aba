"""How well a detector finds faces, from the matches of its detections: COCO's AP, rates, recall.

The matching itself is pycocotools' (`coco.match`). It is slow and done once; `Matches` then
answers for any images, so a bootstrap over images costs a few cumulative sums a resample,
where pycocotools would match anew. What pycocotools has no figure for is here too: precision,
recall and F1 at one confidence, the confidence with the best F1, and recall by group.

Source: Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014, and its reference
code: AP is the mean of the interpolated precision at 101 recalls.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facemodels.data.splits import NO_GROUP
from facemodels.errors import DataError

IOU_50 = 0  # index of IoU 0.5 in IOU_THRESHOLDS
# Built as pycocotools builds them: linspace gives 0.8999999999999999, not 0.9.
IOU_THRESHOLDS: NDArray[np.float64] = np.linspace(0.5, 0.95, 10)
RECALL_POINTS: NDArray[np.float64] = np.linspace(0.0, 1.0, 101)
NOT_FOUND = -np.inf  # the score of a truth box that no detection matches


@dataclass(frozen=True, eq=False)
class Matches:
    """Which detections of D are right, over all I images and their M truth boxes.

    Detections stand in descending order of score over all images; equal scores
    stand in the order of their images, as pycocotools keeps them.

    Attributes:
        scores: float64 (D,), confidence.
        image: intp (D,), the image of the detection.
        tp: bool (T, D), whether it is a true positive at IOU_THRESHOLDS[t].
        n_truth: intp (I,), truth boxes of each image.
        truth_image: intp (M,), the image of the truth box.
        truth_score: float64 (M,), score of the detection that finds the box at
            IoU 0.5, or NOT_FOUND.
        truth_group: int8 (M,), group of the face or NO_GROUP.
    """

    scores: NDArray[np.float64]
    image: NDArray[np.intp]
    tp: NDArray[np.bool_]
    n_truth: NDArray[np.intp]
    truth_image: NDArray[np.intp]
    truth_score: NDArray[np.float64]
    truth_group: NDArray[np.int8]

    @property
    def n_images(self) -> int:
        """Images that were matched, those without faces included."""
        return len(self.n_truth)


@dataclass(frozen=True)
class DetectionRates:
    """Rates at one confidence threshold and IoU 0.5, each in 0..1."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class GroupRecall:
    """Recall (0..1) over the `n_truth` truth boxes of one group."""

    recall: float
    n_truth: int


@dataclass(frozen=True, eq=False)
class PrCurve:
    """Precision and recall, one point a distinct score, strictest first.

    Attributes:
        confidence: float64 (K,), strictly decreasing.
        precision: float64 (K,), 0..1, not interpolated.
        recall: float64 (K,), 0..1, not decreasing.
    """

    confidence: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]


def average_precision(
    matches: Matches, threshold_index: int, *, images: NDArray[np.intp] | None = None
) -> float:
    """AP at one IoU threshold, 0..1: mean interpolated precision at 101 recalls.

    Args:
        matches: the detections of a split.
        threshold_index: index into IOU_THRESHOLDS.
        images: which images count, (K,) indices; one drawn twice counts twice. All if None.

    Raises:
        DataError: these images hold no truth box, so recall is undefined.
    """
    weight, n_truth = _weights(matches, images)
    return _average_precision(matches.tp[threshold_index], weight, n_truth)


def ap50(matches: Matches, *, images: NDArray[np.intp] | None = None) -> float:
    """AP at IoU 0.5, 0..1. Arguments and errors as in `average_precision`."""
    return average_precision(matches, IOU_50, images=images)


def ap50_95(matches: Matches, *, images: NDArray[np.intp] | None = None) -> float:
    """Mean AP over IOU_THRESHOLDS, 0..1. Arguments and errors as in `average_precision`."""
    weight, n_truth = _weights(matches, images)
    return float(np.mean([_average_precision(tp, weight, n_truth) for tp in matches.tp]))


def rates_at(
    matches: Matches, confidence: float, *, images: NDArray[np.intp] | None = None
) -> DetectionRates:
    """Precision, recall and F1 at IoU 0.5 of the detections that score >= `confidence`.

    A detector that keeps nothing has precision 0: it earns no credit by silence.

    Raises:
        DataError: these images hold no truth box.
    """
    weight, n_truth = _weights(matches, images)
    kept = matches.scores >= confidence
    n_kept = int(weight[kept].sum())
    n_tp = int(weight[kept & matches.tp[IOU_50]].sum())
    return DetectionRates(
        precision=n_tp / n_kept if n_kept else 0.0,
        recall=n_tp / n_truth,
        # 2PR / (P + R) without its division by zero.
        f1=2 * n_tp / (n_kept + n_truth),
    )


def best_f1_threshold(matches: Matches) -> float:
    """The confidence with the best F1 at IoU 0.5: to be chosen on the validation split.

    It is the score of the weakest detection kept. Of equal F1, the highest
    threshold wins: the same quality with fewer boxes.

    Raises:
        DataError: there is no truth box or no detection to choose by.
    """
    curve = pr_curve(matches)
    if not len(curve.confidence):
        raise DataError(
            "No detections, so no confidence threshold can be chosen.",
            "Check that the detector was trained and that its score floor is low.",
        )
    # From counts, since F1 of rounded rates breaks ties at random.
    last = _last_of_each_score(matches.scores)
    tp = np.cumsum(matches.tp[IOU_50])[last]
    f1 = 2 * tp / (last + 1 + int(matches.n_truth.sum()))
    return float(curve.confidence[np.argmax(f1)])  # argmax takes the first, the strictest


def pr_curve(matches: Matches, threshold_index: int = IOU_50) -> PrCurve:
    """Precision and recall at every distinct score, for a plot.

    Raises:
        DataError: there is no truth box.
    """
    _, n_truth = _weights(matches, None)
    last = _last_of_each_score(matches.scores)
    tp = np.cumsum(matches.tp[threshold_index])[last]
    return PrCurve(confidence=matches.scores[last], precision=tp / (last + 1), recall=tp / n_truth)


def recall_by_group(
    matches: Matches, confidence: float, *, images: NDArray[np.intp] | None = None
) -> dict[int, GroupRecall]:
    """Recall at IoU 0.5 of each group that has truth boxes, in the order of groups.

    Boxes of NO_GROUP are left out. Precision has no such split: a false
    detection belongs to no face, so to no group.
    """
    weight = _image_counts(matches, images)[matches.truth_image]
    found = matches.truth_score >= confidence
    recalls = {}
    for group in np.unique(matches.truth_group[matches.truth_group != NO_GROUP]):
        members = matches.truth_group == group
        n_truth = int(weight[members].sum())
        if n_truth:
            n_found = int(weight[members & found].sum())
            recalls[int(group)] = GroupRecall(recall=n_found / n_truth, n_truth=n_truth)
    return recalls


def _image_counts(matches: Matches, images: NDArray[np.intp] | None) -> NDArray[np.intp]:
    """How often each image counts, (I,)."""
    if images is None:
        return np.ones(matches.n_images, np.intp)
    return np.bincount(images, minlength=matches.n_images)


def _weights(matches: Matches, images: NDArray[np.intp] | None) -> tuple[NDArray[np.intp], int]:
    """How often each detection counts, (D,), and the number of truth boxes."""
    counts = _image_counts(matches, images)
    n_truth = int(counts @ matches.n_truth)
    if not n_truth:
        raise DataError(
            "No truth boxes, so recall and AP are undefined.",
            "Evaluate on images with labelled faces.",
        )
    return counts[matches.image], n_truth


def _average_precision(tp: NDArray[np.bool_], weight: NDArray[np.intp], n_truth: int) -> float:
    if not len(weight):
        return 0.0
    # A detection drawn w times is one step of w: the steps between lie below the
    # interpolated curve, so the sorted order need not be rebuilt for a resample.
    n_tp = np.cumsum(weight * tp)
    precision = n_tp / np.maximum(np.cumsum(weight), 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(n_tp / n_truth, RECALL_POINTS, side="left")
    # A recall that is never reached has precision 0.
    return float(np.append(envelope, 0.0)[at].mean())


def _last_of_each_score(scores: NDArray[np.float64]) -> NDArray[np.intp]:
    """Index of the last detection of each distinct score; `scores` are sorted."""
    if not len(scores):
        return np.zeros(0, np.intp)
    return np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)

"""How well a detector finds faces: the COCO protocol for one class.

Source: Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014, and
its reference code, `pycocotools.cocoeval`: greedy matching by descending score
at IoU 0.50:0.05:0.95, at most 100 detections an image, AP as the mean of the
interpolated precision at 101 recalls. All truth boxes count: no crowds, no areas.

Matching is slow and done once; `Matches` then answers for any images, so a
bootstrap over images costs a few cumulative sums a resample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facemodels.data.splits import NO_GROUP
from facemodels.errors import DataError

# Built as pycocotools builds it: linspace gives 0.8999999999999999, not 0.9.
IOU_THRESHOLDS: NDArray[np.float64] = np.linspace(0.5, 0.95, 10)
IOU_50 = 0  # index of IoU 0.5 in IOU_THRESHOLDS
RECALL_POINTS: NDArray[np.float64] = np.linspace(0.0, 1.0, 101)
MAX_DETECTIONS = 100  # an image, the best by score
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
class DetectionScores:
    """The numbers of one detector, each in 0..1.

    Attributes:
        ap50: AP at IoU 0.5.
        ap50_95: mean AP over IoU 0.50:0.05:0.95.
        confidence: threshold of the next three; detections at or above it are kept.
        precision: at IoU 0.5.
        recall: at IoU 0.5.
        f1: at IoU 0.5.
    """

    ap50: float
    ap50_95: float
    confidence: float
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


def iou_matrix(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Intersection over union of every box of `a` with every box of `b`.

    Args:
        a: (N, 4), x0 y0 x1 y1 in pixels; edges are coordinates, so width is x1 - x0.
        b: (M, 4), likewise.

    Returns:
        float64 (N, M), 0..1. A box without area overlaps nothing.

    Raises:
        DataError: an array is not (K, 4) or holds NaN or infinity.
    """
    first, second = _boxes(a), _boxes(b)
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    intersection = np.clip(high - low, 0, None).prod(axis=2)
    area_a = np.clip(first[:, 2:] - first[:, :2], 0, None).prod(axis=1)
    area_b = np.clip(second[:, 2:] - second[:, :2], 0, None).prod(axis=1)
    union = area_a[:, None] + area_b[None, :] - intersection
    iou: NDArray[np.float64] = np.zeros(union.shape)
    np.divide(intersection, union, out=iou, where=union > 0)
    return iou


def match(
    boxes: Sequence[ArrayLike],
    scores: Sequence[ArrayLike],
    truths: Sequence[ArrayLike],
    groups: Sequence[ArrayLike] | None = None,
    *,
    max_detections: int = MAX_DETECTIONS,
) -> Matches:
    """Match the detections of each image with its truth boxes, at every IoU threshold.

    In descending order of score, each detection takes the free truth box with
    which it overlaps most, if their IoU reaches the threshold.

    Args:
        boxes: one (D_i, 4) an image, x0 y0 x1 y1 in pixels; may be empty.
        scores: one (D_i,) an image, any finite scale.
        truths: one (M_i, 4) an image, x0 y0 x1 y1 in pixels; may be empty.
        groups: one int8 (M_i,) an image, group of each truth box; NO_GROUP if left out.
        max_detections: how many of an image count, the best by score.

    Raises:
        DataError: the sequences differ in length, shapes do not fit, or a value
            is not finite.
    """
    n_images = len(truths)
    counts = {len(boxes), len(scores), n_images, n_images if groups is None else len(groups)}
    if len(counts) != 1:
        raise DataError(
            f"Detections of {len(boxes)} images do not fit the truth of {n_images}.",
            "Pass one entry an image everywhere; an image without detections has an empty one.",
        )
    all_scores, all_images, all_tp = [], [], []
    all_truth_scores, all_groups, n_truth = [], [], np.zeros(n_images, np.intp)
    for index in range(n_images):
        score = np.asarray(scores[index], np.float64).reshape(-1)
        truth = _boxes(truths[index])
        found = _boxes(boxes[index])
        group = (
            np.full(len(truth), NO_GROUP, np.int8)
            if groups is None
            else np.asarray(groups[index], np.int8).reshape(-1)
        )
        if len(score) != len(found) or len(group) != len(truth):
            raise DataError(
                f"Image {index}: {len(found)} boxes with {len(score)} scores, "
                f"{len(truth)} truth boxes with {len(group)} groups.",
                "Pass one score a detection and one group a truth box.",
            )
        if not np.isfinite(score).all():
            raise DataError(f"Image {index}: a detection score is not a finite number.")
        order = np.argsort(-score, kind="stable")[:max_detections]
        tp, truth_score = _match_image(score[order], iou_matrix(found[order], truth))
        all_scores.append(score[order])
        all_images.append(np.full(len(order), index, np.intp))
        all_tp.append(tp)
        all_truth_scores.append(truth_score)
        all_groups.append(group)
        n_truth[index] = len(truth)
    # The empty first entries give the types where there are no images at all.
    flat = np.concatenate([np.zeros(0), *all_scores])
    order = np.argsort(-flat, kind="stable")
    return Matches(
        scores=flat[order],
        image=np.concatenate([np.zeros(0, np.intp), *all_images])[order],
        tp=np.concatenate([np.zeros((len(IOU_THRESHOLDS), 0), np.bool_), *all_tp], axis=1)[
            :, order
        ],
        n_truth=n_truth,
        truth_image=np.repeat(np.arange(n_images, dtype=np.intp), n_truth),
        truth_score=np.concatenate([np.zeros(0), *all_truth_scores]),
        truth_group=np.concatenate([np.zeros(0, np.int8), *all_groups]),
    )


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


def scores_at(
    matches: Matches, confidence: float, *, images: NDArray[np.intp] | None = None
) -> DetectionScores:
    """All numbers of one detector; `confidence` is chosen on other data than these.

    Raises:
        DataError: these images hold no truth box.
    """
    rates = rates_at(matches, confidence, images=images)
    return DetectionScores(
        ap50=ap50(matches, images=images),
        ap50_95=ap50_95(matches, images=images),
        confidence=confidence,
        precision=rates.precision,
        recall=rates.recall,
        f1=rates.f1,
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


def _boxes(values: ArrayLike) -> NDArray[np.float64]:
    boxes = np.asarray(values, np.float64)
    if boxes.size == 0:
        return boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise DataError(f"Boxes have shape {boxes.shape}.", "Pass (N, 4): x0 y0 x1 y1.")
    if not np.isfinite(boxes).all():
        raise DataError("A box holds NaN or infinity.")
    return boxes


def _match_image(
    scores: NDArray[np.float64], ious: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Greedy matching of one image, all thresholds at once.

    Args:
        scores: (D,), descending.
        ious: (D, K) with the truth boxes.

    Returns:
        tp (T, D) and the score that finds each truth box at IoU 0.5, (K,).
    """
    n_found, n_truth = ious.shape
    tp = np.zeros((len(IOU_THRESHOLDS), n_found), np.bool_)
    free = np.ones((len(IOU_THRESHOLDS), n_truth), np.bool_)
    truth_score = np.full(n_truth, NOT_FOUND)
    # Most detections reach no truth box: skip them before the loop.
    for index in np.flatnonzero((ious >= IOU_THRESHOLDS[0]).any(axis=1)):
        row = ious[index]
        usable = np.where(free & (row >= IOU_THRESHOLDS[:, None]), row, -1.0)
        # The last of equal overlaps, as pycocotools takes it.
        best = n_truth - 1 - np.argmax(usable[:, ::-1], axis=1)
        hit = np.flatnonzero(usable.max(axis=1) >= 0)
        tp[hit, index] = True
        free[hit, best[hit]] = False
        if tp[IOU_50, index]:
            truth_score[best[IOU_50]] = scores[index]
    return tp, truth_score


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

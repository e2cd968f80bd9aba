"""Verification of a list of pairs: accuracy in k folds, ROC, rates at a threshold.

A pair is accepted as one person when its cosine similarity is >= the threshold,
compared in float64: NumPy would round the threshold to the type of float32 scores.
TAR (= TPR = recall) is the share of same pairs accepted, FAR (= FPR) the share
of different pairs accepted.

Where several thresholds are equally good, the highest wins: of two systems that
are right equally often, the one with fewer false accepts is the safer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facemodels.errors import DataError, InputError


@dataclass(frozen=True, eq=False)
class KFold:
    """Verification accuracy with thresholds chosen outside of the fold judged.

    Attributes:
        mean: mean accuracy of the k folds, 0..1.
        standard_error: of that mean, std(ddof=1) / sqrt(k).
        accuracies: of each fold, in the order of fold numbers.
        thresholds: of each fold, chosen on the other folds.
        correct: bool (P,), whether each pair was judged right in its own fold;
            the input for accuracies by group and for a paired bootstrap.
    """

    mean: float
    standard_error: float
    accuracies: tuple[float, ...]
    thresholds: tuple[float, ...]
    correct: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Roc:
    """ROC, one point a distinct score, from (0, 0) to (1, 1).

    Attributes:
        far: float64 (K + 1,), not decreasing.
        tar: float64 (K + 1,), not decreasing.
        thresholds: float64 (K + 1,), decreasing; the first rejects every pair.
    """

    far: NDArray[np.float64]
    tar: NDArray[np.float64]
    thresholds: NDArray[np.float64]


@dataclass(frozen=True)
class TarAtFar:
    """A point of the ROC: TAR and FAR (0..1) at a threshold."""

    tar: float
    far: float
    threshold: float


@dataclass(frozen=True)
class VerificationRates:
    """Rates at one threshold, each in 0..1; `recall` is `tpr` under its other name."""

    threshold: float
    tpr: float
    fpr: float
    precision: float
    recall: float
    f1: float
    accuracy: float


class _Sweep(NamedTuple):
    """Counts of accepted pairs at each distinct score, strictest first, from none accepted."""

    levels: NDArray[np.float64]  # (K,), the distinct scores, descending
    tp: NDArray[np.intp]  # (K + 1,)
    fp: NDArray[np.intp]  # (K + 1,)


def kfold_accuracy(scores: ArrayLike, same: ArrayLike, folds: ArrayLike) -> KFold:
    """k-fold verification: each fold is judged by the best threshold of the others.

    The View 2 protocol of Huang et al., "Labeled Faces in the Wild", University of
    Massachusetts, Amherst, Technical Report 07-49, 2007 (there with ten folds),
    with its standard error of the mean. Thresholds are searched exactly: every
    midpoint between neighbouring scores, accept-all and reject-all.

    Args:
        scores: (P,), cosine similarity of the pairs.
        same: bool (P,), whether the pair shows one person.
        folds: integer (P,), the fold of the pair.

    Raises:
        DataError: fewer than two folds, arrays of different lengths, a score that
            is not finite, or folds whose complement has pairs of one kind only.
    """
    score, label = _pairs(scores, same)
    fold = np.asarray(folds)
    if fold.shape != score.shape:
        raise DataError(f"{len(score)} scores with folds of shape {fold.shape}.")
    numbers = np.unique(fold)
    if len(numbers) < 2:
        raise DataError(
            "All pairs are in one fold, so no other fold can choose the threshold.",
            "Prepare the pairs with at least two folds.",
        )
    order = np.argsort(-score, kind="stable")  # once: a part of a sorted list is sorted
    accuracies, thresholds = [], []
    correct = np.zeros(len(score), np.bool_)
    for number in numbers:
        rest = order[fold[order] != number]
        _require_both_kinds(label[rest], f"The pairs outside of fold {number}")
        threshold = _best_threshold(_sweep(score[rest], label[rest]))
        held_out = fold == number
        correct[held_out] = (score[held_out] >= threshold) == label[held_out]
        accuracies.append(float(correct[held_out].mean()))
        thresholds.append(threshold)
    return KFold(
        mean=float(np.mean(accuracies)),
        standard_error=float(np.std(accuracies, ddof=1) / np.sqrt(len(accuracies))),
        accuracies=tuple(accuracies),
        thresholds=tuple(thresholds),
        correct=correct,
    )


def roc(scores: ArrayLike, same: ArrayLike) -> Roc:
    """TAR against FAR at every distinct score. Inputs as in `kfold_accuracy`.

    Raises:
        DataError: no pairs, pairs of one kind only, or a score that is not finite.
    """
    sweep = _sorted_sweep(scores, same)
    return Roc(
        far=sweep.fp / sweep.fp[-1],
        tar=sweep.tp / sweep.tp[-1],
        thresholds=np.concatenate([[_above(sweep.levels[0])], sweep.levels]),
    )


def auc(scores: ArrayLike, same: ArrayLike) -> float:
    """Area under the ROC, 0..1: how likely a same pair outscores a different one.

    Equal scores count half. Errors as in `roc`.
    """
    sweep = _sorted_sweep(scores, same)
    # Trapezoids in integers, so the area is exact up to the last division.
    doubled = int(np.diff(sweep.fp) @ (sweep.tp[1:] + sweep.tp[:-1]))
    return doubled / (2 * int(sweep.tp[-1]) * int(sweep.fp[-1]))


def eer(scores: ArrayLike, same: ArrayLike) -> float:
    """Equal error rate, 0..1: where FAR meets 1 - TAR.

    The ROC is joined by straight lines, so the two meet exactly. Errors as in `roc`.
    """
    curve = roc(scores, same)
    gap = curve.far - (1 - curve.tar)  # -1 at the start, 1 at the end, never falling
    after = int(np.argmax(gap >= 0))
    before = after - 1
    share = -gap[before] / (gap[after] - gap[before])
    return float(curve.far[before] + share * (curve.far[after] - curve.far[before]))


def tar_at_far(scores: ArrayLike, same: ArrayLike, far: float) -> TarAtFar:
    """The largest TAR among thresholds whose measured FAR is <= `far`.

    No interpolation: the point can be set in production. Of thresholds with that
    TAR the highest is given. FAR moves in steps of 1 / (different pairs); below
    one step no false accept is allowed at all, so the number says little there.

    Args:
        scores: (P,), cosine similarity of the pairs.
        same: bool (P,), whether the pair shows one person.
        far: the false accept rate allowed, 0..1.

    Raises:
        DataError: as in `roc`.
        InputError: `far` is not in 0..1.
    """
    if not 0 <= far <= 1:
        raise InputError(f"A false accept rate of {far} is not in 0..1.")
    curve = roc(scores, same)
    allowed = int(np.searchsorted(curve.far, far, side="right")) - 1
    point = int(np.searchsorted(curve.tar, curve.tar[allowed], side="left"))
    return TarAtFar(
        tar=float(curve.tar[point]),
        far=float(curve.far[point]),
        threshold=float(curve.thresholds[point]),
    )


def rates_at(scores: ArrayLike, same: ArrayLike, threshold: float) -> VerificationRates:
    """Rates when pairs with score >= `threshold` are accepted.

    If none is accepted, precision is 0. Errors as in `roc`.
    """
    score, label = _pairs(scores, same)
    _require_both_kinds(label, "The pairs")
    accepted = score >= threshold
    tp = int(np.sum(accepted & label))
    fp = int(np.sum(accepted & ~label))
    n_same = int(label.sum())
    n_different = len(label) - n_same
    return VerificationRates(
        threshold=threshold,
        tpr=tp / n_same,
        fpr=fp / n_different,
        precision=tp / (tp + fp) if tp + fp else 0.0,
        recall=tp / n_same,
        f1=2 * tp / (tp + fp + n_same),
        accuracy=(tp + n_different - fp) / len(label),
    )


def best_threshold(scores: ArrayLike, same: ArrayLike) -> float:
    """The threshold with the most pairs judged right: to be chosen on the validation split.

    Searched as in `kfold_accuracy`. Errors as in `roc`.
    """
    return _best_threshold(_sorted_sweep(scores, same))


def _pairs(scores: ArrayLike, same: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    # float64, so that the midpoint of two float32 scores lies between them.
    score = np.asarray(scores, np.float64)
    label = np.asarray(same, np.bool_)
    if score.ndim != 1 or score.shape != label.shape:
        raise DataError(f"Scores {score.shape} with labels {label.shape}.", "Pass (P,) for both.")
    if not np.isfinite(score).all():
        raise DataError("A similarity score is not a finite number.")
    return score, label


def _require_both_kinds(label: NDArray[np.bool_], what: str) -> None:
    n_same = int(label.sum())
    if not 0 < n_same < len(label):
        raise DataError(
            f"{what} are {n_same} of one person and {len(label) - n_same} of two people.",
            "Verification needs pairs of both kinds.",
        )


def _sorted_sweep(scores: ArrayLike, same: ArrayLike) -> _Sweep:
    score, label = _pairs(scores, same)
    _require_both_kinds(label, "The pairs")
    order = np.argsort(-score, kind="stable")
    return _sweep(score[order], label[order])


def _sweep(score: NDArray[np.float64], label: NDArray[np.bool_]) -> _Sweep:
    """Count accepted pairs at each distinct score; `score` is sorted, descending."""
    last = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)
    tp = np.cumsum(label, dtype=np.intp)[last]
    fp = last + 1 - tp
    zero = np.zeros(1, np.intp)
    return _Sweep(score[last], np.concatenate([zero, tp]), np.concatenate([zero, fp]))


def _best_threshold(sweep: _Sweep) -> float:
    best = int(np.argmax(sweep.tp - sweep.fp))  # the first of equals, the strictest
    if best == 0:
        return _above(sweep.levels[0])
    lowest_accepted = float(sweep.levels[best - 1])
    if best == len(sweep.levels):
        return lowest_accepted
    highest_rejected = float(sweep.levels[best])
    middle = highest_rejected + (lowest_accepted - highest_rejected) / 2
    # Between neighbouring floats there is no middle.
    return middle if middle > highest_rejected else lowest_accepted


def _above(score: float) -> float:
    """The lowest threshold that rejects `score`; finite, unlike the usual infinity, for JSON."""
    return float(np.nextafter(score, np.inf))

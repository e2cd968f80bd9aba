"""Recognition: k-fold verification as on LFW's View 2, ROC figures, rank-1."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facemodels.data.splits import RecognitionSplit, group_names
from facemodels.evaluate.evaluation import Evaluation, Rows
from facemodels.progress import progress
from facemodels.recognition import metrics
from facemodels.recognition.batches import pair_scores
from facemodels.recognition.task import RecognitionModel

_CURVE_POINTS = 200  # enough for a plot
_FACES_AT_ONCE = 32


def evaluate(embedder: RecognitionModel, data: Path) -> Evaluation:
    """Choose the threshold with the best accuracy on `val`, measure on `test`.

    The k-fold accuracy chooses its own thresholds, on the other folds; the threshold of
    `val` is the one that goes into production, and TPR and FPR are given at it.
    """
    crop = getattr(embedder, "crop_name", "")  # a native model may not say it
    val, test = (RecognitionSplit.load(data / name, crop) for name in ("val", "test"))
    threshold = metrics.best_threshold(
        pair_scores(_embed(embedder, val, "validation faces"), val.pairs, val.found), val.same
    )
    embeddings = _embed(embedder, test, "test faces")
    scores = pair_scores(embeddings, test.pairs, test.found)
    folded = metrics.kfold_accuracy(scores, test.same, test.folds)
    at = metrics.rates_at(scores, test.same, threshold)
    names = group_names(data)
    by_group = metrics.accuracy_by_group(folded.correct, test.groups[test.pairs])
    correct = folded.correct.astype(np.float64)
    return Evaluation(
        metrics={
            "accuracy": folded.mean,
            "accuracy_se": folded.standard_error,
            "auc": metrics.auc(scores, test.same),
            "eer": metrics.eer(scores, test.same),
            "tar_at_far_1e-2": metrics.tar_at_far(scores, test.same, 1e-2).tar,
            "tar_at_far_1e-3": metrics.tar_at_far(scores, test.same, 1e-3).tar,
            "tpr": at.tpr,
            "fpr": at.fpr,
            "precision": at.precision,
            "f1": at.f1,
            "rank1": metrics.rank1(embeddings, test.identities).accuracy,
        },
        groups={
            names[group]: {"accuracy": value.accuracy, "pairs": float(value.n_pairs)}
            for group, value in by_group.items()
        },
        curves={"roc": _roc(scores, test.same)},
        threshold=threshold,
        primary="accuracy",
        higher_is_better=True,
        score=lambda pairs: float(correct[pairs].mean()),
        units=len(test.pairs),
        # Pairs that share a person are not independent.
        clusters=test.identities[test.pairs[:, 0]],
    )


def _embed(embedder: RecognitionModel, split: RecognitionSplit, label: str) -> NDArray[np.float32]:
    parts = []
    with progress(f"embed {label}", len(split)) as advance:
        for start in range(0, len(split), _FACES_AT_ONCE):
            part = split.images[start : start + _FACES_AT_ONCE]
            parts.append(embedder.embed(list(part)))
            advance(len(part))
    return np.concatenate(parts)


def _roc(scores: NDArray[np.float64], same: NDArray[np.bool_]) -> Rows:
    curve = metrics.roc(scores, same)
    keep = np.unique(np.linspace(0, len(curve.far) - 1, _CURVE_POINTS).astype(int))
    return [{"far": float(curve.far[i]), "tar": float(curve.tar[i])} for i in keep]

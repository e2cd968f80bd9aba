"""Recognition: k-fold verification as on LFW's View 2, FMR and FNMR over all pairs, 1:N."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facemodels.data.splits import RecognitionSplit, group_names
from facemodels.errors import DataError, InputError
from facemodels.evaluate.evaluation import Evaluation, Resampled, Rows
from facemodels.evaluate.side_by_side import side_by_side
from facemodels.progress import progress
from facemodels.recognition import metrics
from facemodels.recognition.batches import pair_scores
from facemodels.recognition.error_rates import all_pairs, groups, identification
from facemodels.recognition.error_rates.all_pairs import AllPairs
from facemodels.recognition.error_rates.score_counts import ScoreCounts, count_scores
from facemodels.recognition.error_rates.support import is_supported, least_rate
from facemodels.recognition.task import RecognitionModel

VERSION = 2  # raised when a figure is measured in another way
THRESHOLD = "best accuracy on val"
AT_THRESHOLD = "accuracy_at_threshold"
FMRS = {"1e-2": 1e-2, "1e-3": 1e-3, "1e-4": 1e-4, "1e-5": 1e-5}
FPIRS = {"1e-1": 1e-1, "1e-2": 1e-2}
_CURVE_POINTS = 200  # enough for a plot
_FACES_AT_ONCE = 32
# Of so many faces the impostor scores that an FMR of 1e-2 needs are the most that are kept.
_MOST_SCORED = 50_000
# With fewer people a resample may well have no pair of one of the two kinds.
_PEOPLE_OF_INTERVAL = 20


@dataclass(frozen=True, eq=False)
class _Faces:
    """The faces of a split with their embeddings.

    Attributes:
        split: the faces, in the crop of the model that is evaluated.
        embeddings: float32 (N, D), by that model.
        gallery: float32 (N, D), by the model that enrolled people, if that is another one.
        crop: name of the crop; of both, where there are two models.
    """

    split: RecognitionSplit
    embeddings: NDArray[np.float32]
    gallery: NDArray[np.float32] | None
    crop: str

    def pair_scores(self) -> NDArray[np.float64]:
        """The similarities of the split's pairs (P,)."""
        split = self.split
        return pair_scores(self.embeddings, split.pairs, split.found, gallery=self.gallery)


def evaluate(
    embedder: RecognitionModel,
    data: Path,
    gallery: RecognitionModel | None = None,
    threshold: float | None = None,
) -> Evaluation:
    """Choose the threshold with the best accuracy on `val`, measure on `test`.

    The k-fold accuracy chooses its own thresholds, on the other folds; the threshold of
    `val` is the one that goes into production. TPR, FPR, precision and F1 are given at it over
    the pair list; FMR and FNMR, also by group, over all pairs of the test faces.

    Args:
        embedder: the model.
        data: prepared data with the splits val and test.
        gallery: another model, by which people were enrolled: the second face of each pair and
            the faces of the gallery are embedded by it, in its own crop. `embedder` if None.
        threshold: at which the rates are given; the one of `val` if None.
    """
    val_faces, faces = (_embedded(embedder, gallery, data, name) for name in ("val", "test"))
    chosen = metrics.best_threshold(val_faces.pair_scores(), val_faces.split.same)
    threshold = chosen if threshold is None else threshold
    test, embeddings, enrolled = faces.split, faces.embeddings, faces.gallery
    scores = faces.pair_scores()
    folded = metrics.kfold_accuracy(scores, test.same, test.folds)
    pairs = _scored(faces)
    closed = identification.rank1(embeddings, test.identities, test.found, gallery=enrolled)
    names = group_names(data)
    at, by_group, threshold_notes = _at_threshold(pairs, test.groups, threshold)
    fnmrs, fnmr_notes = _fnmr_at_fmr(pairs)
    resampled, interval_notes = _resampled(pairs, fnmrs)
    fnirs, fnir_notes = _fnir_at_fpir(faces)
    differentials, group_notes = _differentials(by_group)
    return Evaluation(
        metrics={
            **_listed_pairs(scores, test.same, threshold),
            "accuracy": folded.mean,
            "accuracy_se": folded.standard_error,
            **at,
            **fnmrs,
            "rank1": closed.accuracy,
            **fnirs,
            **differentials,
        },
        groups=_by_group(folded, test, by_group, names),
        curves={"roc": _roc(scores, test.same), "det": _det(pairs)},
        threshold=chosen,
        primary="accuracy",
        resampled={
            "accuracy": _resampled_accuracy(folded.correct, test),
            AT_THRESHOLD: _resampled_accuracy((scores >= threshold) == test.same, test),
            "rank1": _resampled_rank1(closed, test),
            **resampled,
        },
        notes=(*threshold_notes, *fnmr_notes, *interval_notes, *fnir_notes, *group_notes),
        correct=folded.correct,
        stamp={"pairs": pair_list_digest(test.pairs, test.same, test.folds), "crop": faces.crop},
    )


def pair_list_digest(
    pairs: NDArray[np.int32], same: NDArray[np.bool_], folds: NDArray[np.int8]
) -> str:
    """SHA-256 of a pair list: the faces of each pair, its kind and its fold."""
    digest = hashlib.sha256()
    for values, kind in ((pairs, "<i8"), (same, "|b1"), (folds, "<i8")):
        digest.update(np.ascontiguousarray(values, dtype=kind).tobytes())
    return f"sha256:{digest.hexdigest()}"


def _embedded(
    embedder: RecognitionModel, gallery: RecognitionModel | None, data: Path, name: str
) -> _Faces:
    split, embeddings = _embed(embedder, data, name)
    if gallery is None:
        return _Faces(split, embeddings, None, split.crop)
    others, enrolled = _embed(gallery, data, name)
    return _Faces(split, embeddings, enrolled, f"{split.crop} against {others.crop}")


def _embed(
    embedder: RecognitionModel, data: Path, name: str
) -> tuple[RecognitionSplit, NDArray[np.float32]]:
    """A split in the model's own crop, and the embeddings of its faces."""
    crop = getattr(embedder, "crop_name", "")  # a native model may not say it
    split = RecognitionSplit.load(data / name, crop)
    starts = range(0, len(split), _FACES_AT_ONCE)
    parts = (list(split.images[start : start + _FACES_AT_ONCE]) for start in starts)
    found = []
    with progress(f"embed {name} faces", len(split)) as advance:
        for part in side_by_side(embedder.embed, parts):
            found.append(part)
            advance(len(part))
    return split, np.concatenate(found)


def _listed_pairs(
    scores: NDArray[np.float64], same: NDArray[np.bool_], threshold: float
) -> dict[str, float]:
    """The figures of the pair list that need no folds."""
    at = metrics.rates_at(scores, same, threshold)
    return {
        "auc": metrics.auc(scores, same),
        "eer": metrics.eer(scores, same),
        "tar_at_far_1e-2": metrics.tar_at_far(scores, same, 1e-2).tar,
        "tar_at_far_1e-3": metrics.tar_at_far(scores, same, 1e-3).tar,
        "tpr": at.tpr,
        "fpr": at.fpr,
        "precision": at.precision,
        "f1": at.f1,
        AT_THRESHOLD: at.accuracy,
    }


def _scored(faces: _Faces) -> AllPairs | ScoreCounts:
    """All pairs of the faces; of very many faces how many pairs have which score."""
    given = (faces.embeddings, faces.split.identities, faces.split.found)
    if len(faces.split) <= _MOST_SCORED:
        return all_pairs.all_pairs(*given, gallery=faces.gallery)
    n = len(faces.split)
    with progress("compare test faces", n * (n - 1) // 2) as advance:
        return count_scores(*given, gallery=faces.gallery, advance=advance)


def _at_threshold(
    pairs: AllPairs | ScoreCounts, group: NDArray[np.int8], threshold: float
) -> tuple[dict[str, float], dict[int, groups.GroupErrors], list[str]]:
    if isinstance(pairs, ScoreCounts):
        at = pairs.rates_at(threshold)
        note = f"Groups are left out: of more than {_MOST_SCORED} faces the scores are counted."
        return {"fmr": at.fmr, "fnmr": at.fnmr}, {}, [note]
    try:
        at = all_pairs.rates_at(pairs, threshold)
        by_group = groups.errors_by_group(pairs, group, threshold)
    except InputError as error:
        return {}, {}, [f"FMR at the threshold is left out: {error}"]
    return {"fmr": at.fmr, "fnmr": at.fnmr}, by_group, []


def _fnmr_at_fmr(pairs: AllPairs | ScoreCounts) -> tuple[dict[str, float], list[str]]:
    shown = {name: fmr for name, fmr in FMRS.items() if is_supported(fmr, pairs.n_impostor)}
    notes = [
        f"FNMR at an FMR of {name} is left out: {pairs.n_impostor} impostor pairs show no FMR "
        f"below {pairs.least_fmr:.2g} (rule of three)."
        for name in FMRS.keys() - shown.keys()
    ]
    at = (
        pairs.fnmr_at_fmr
        if isinstance(pairs, ScoreCounts)
        else partial(all_pairs.fnmr_at_fmr, pairs)
    )
    return {f"fnmr_at_fmr_{name}": at(fmr).fnmr for name, fmr in shown.items()}, sorted(notes)


def _fnir_at_fpir(faces: _Faces) -> tuple[dict[str, float], list[str]]:
    test = faces.split
    try:
        searches = identification.open_set(
            faces.embeddings, test.identities, test.found, gallery=faces.gallery
        )
    except DataError as error:
        return {}, [f"FNIR is left out: {error}"]
    n = len(searches.nonmated)
    shown = {name: fpir for name, fpir in FPIRS.items() if is_supported(fpir, n)}
    notes = [
        f"FNIR at an FPIR of {name} is left out: {n} nonmated searches show no FPIR below "
        f"{least_rate(n):.2g} (rule of three)."
        for name in FPIRS.keys() - shown.keys()
    ]
    values = {
        f"fnir_at_fpir_{name}": identification.fnir_at_fpir(searches, fpir).fnir
        for name, fpir in shown.items()
    }
    return values, sorted(notes)


def _differentials(
    by_group: Mapping[int, groups.GroupErrors],
) -> tuple[dict[str, float], list[str]]:
    if len(by_group) < 2:
        return {}, ["Differentials are left out: fewer than two groups have pairs of both kinds."]
    fmr, fnmr = groups.fmr_differential(by_group), groups.fnmr_differential(by_group)
    return {
        "fmr_group_max": fmr.maximum,
        "fmr_group_max_over_gm": fmr.over_geometric_mean,
        "fnmr_group_max": fnmr.maximum,
        "fnmr_group_max_over_gm": fnmr.over_geometric_mean,
    }, []


def _by_group(
    folded: metrics.KFold,
    test: RecognitionSplit,
    errors: Mapping[int, groups.GroupErrors],
    names: tuple[str, ...],
) -> dict[str, dict[str, float]]:
    accuracies = groups.accuracy_by_group(folded.correct, test.groups[test.pairs])
    found: dict[str, dict[str, float]] = {}
    for number in sorted(accuracies.keys() | errors.keys()):
        values = found[names[number]] = {}
        if number in accuracies:
            listed = accuracies[number]
            values |= {"accuracy": listed.accuracy, "pairs": float(listed.n_pairs)}
        if number in errors:
            rates = errors[number]
            values |= {
                "fmr": rates.fmr,
                "fnmr": rates.fnmr,
                "impostor_pairs": float(rates.n_impostor),
                "genuine_pairs": float(rates.n_genuine),
            }
    return found


def _resampled_accuracy(correct: NDArray[np.bool_], test: RecognitionSplit) -> Resampled:
    right = correct.astype(np.float64)
    return Resampled(
        score=lambda pairs: float(right[pairs].mean()),
        units=len(test.pairs),
        higher_is_better=True,
        # Pairs that share a person are not independent.
        clusters=test.identities[test.pairs[:, 0]],
    )


def _resampled_rank1(closed: identification.Rank1, test: RecognitionSplit) -> Resampled:
    correct = closed.correct.astype(np.float64)
    return Resampled(
        score=lambda probes: float(correct[probes].mean()),
        units=len(closed.probes),
        higher_is_better=True,
        clusters=test.identities[closed.probes],
    )


def _resampled(
    pairs: AllPairs | ScoreCounts, fnmrs: Mapping[str, float]
) -> tuple[dict[str, Resampled], list[str]]:
    """FNMR at each FMR with people as the units; none of too few people or too many faces."""
    if isinstance(pairs, ScoreCounts):
        return {}, [f"FNMR has no interval of more than {_MOST_SCORED} faces."]
    several = int((np.bincount(pairs.person) >= 2).sum())
    if several < _PEOPLE_OF_INTERVAL:
        return {}, [
            f"FNMR has no interval: intervals need {_PEOPLE_OF_INTERVAL} people with two faces, "
            f"{several} are there."
        ]

    def score(fmr: float, people: NDArray[np.intp]) -> float:
        return all_pairs.fnmr_at_fmr(pairs, fmr, people=people).fnmr

    return {
        f"fnmr_at_fmr_{name}": Resampled(partial(score, fmr), pairs.n_people, False)
        for name, fmr in FMRS.items()
        if f"fnmr_at_fmr_{name}" in fnmrs
    }, []


def _roc(scores: NDArray[np.float64], same: NDArray[np.bool_]) -> Rows:
    curve = metrics.roc(scores, same)
    keep = np.unique(np.linspace(0, len(curve.far) - 1, _CURVE_POINTS).astype(int))
    return [{"far": float(curve.far[i]), "tar": float(curve.tar[i])} for i in keep]


def _det(pairs: AllPairs | ScoreCounts) -> Rows:
    if isinstance(pairs, ScoreCounts):
        curve = pairs.det(_CURVE_POINTS)
    else:
        curve = all_pairs.det(pairs, _CURVE_POINTS)
    return [
        {"fmr": float(fmr), "fnmr": float(fnmr)}
        for fmr, fnmr in zip(curve.fmr, curve.fnmr, strict=True)
    ]

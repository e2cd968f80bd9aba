"""FMR and FNMR over every pair of a set of faces.

A *genuine* pair shows one person, an *impostor* pair two. At a threshold, FMR (false match
rate) is the share of impostor pairs that are accepted, FNMR (false non-match rate) the share of
genuine pairs that are rejected; a pair is accepted when its cosine similarity is >= the
threshold. Source: ISO/IEC 19795-1.

Pairs that share a person are not independent, so people are resampled, not pairs: a person who
is drawn w times gives all own genuine pairs the weight w, and impostor pairs of two people have
the product of both weights. That is the subsets bootstrap of Bolle, Ratha and Pankanti, "Error
analysis of pattern recognition systems — the subsets bootstrap", CVIU 93, 2004, with both
people of an impostor pair resampled, since either one makes it depend on others (Owen, "The
pigeonhole bootstrap", Annals of Applied Statistics 1, 2007; Fogliato, Patil and Perona,
"Confidence Intervals for Error Rates in 1:1 Matching Tasks", IJCV 2024, measure how intervals
that resample one side only are too narrow).

Memory is bounded. All genuine scores are kept, and the `keep` highest impostor scores: all of
them up to 5,793 faces, and beyond that as many as every FMR of interest needs. Nothing is
approximated; a figure that would need the scores left out is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facemodels.errors import DataError, InputError
from facemodels.recognition.error_rates.embeddings import unit_vectors
from facemodels.recognition.error_rates.support import is_supported, least_rate, require_supported

KEEP = 2**24  # impostor scores: 128 MiB, and as much for the faces they are of
_SIMILARITIES_AT_ONCE = 2**21  # 16 MiB


@dataclass(frozen=True, eq=False)
class AllPairs:
    """Scores of all genuine pairs, and of the highest impostor pairs, of N faces of P people.

    Attributes:
        person: intp (N,), the person of each face, 0..P-1 in the order of their numbers.
        genuine: float64 (G,), cosine similarity of the genuine pairs, falling.
        genuine_faces: int32 (G, 2), their faces.
        impostor: float64 (K,), cosine similarity of the highest impostor pairs, falling.
        impostor_faces: int32 (K, 2), their faces.
        n_impostor: how many impostor pairs there are, K or more.
    """

    person: NDArray[np.intp]
    genuine: NDArray[np.float64]
    genuine_faces: NDArray[np.int32]
    impostor: NDArray[np.float64]
    impostor_faces: NDArray[np.int32]
    n_impostor: int

    @property
    def n_people(self) -> int:
        """P, the people."""
        return int(self.person.max()) + 1

    @property
    def least_fmr(self) -> float:
        """The lowest FMR that the impostor pairs can show, by the rule of three."""
        return least_rate(self.n_impostor)


@dataclass(frozen=True)
class ErrorRates:
    """FMR and FNMR (0..1) at a threshold."""

    fmr: float
    fnmr: float
    threshold: float


@dataclass(frozen=True, eq=False)
class Det:
    """Detection error trade-off: FNMR against FMR.

    Attributes:
        fmr: float64 (K,), rising, from the lowest that the pairs can show.
        fnmr: float64 (K,), not rising.
    """

    fmr: NDArray[np.float64]
    fnmr: NDArray[np.float64]


class _Weights(NamedTuple):
    """How often each genuine pair counts, and all impostor pairs together."""

    people: NDArray[np.int64]  # (P,)
    genuine: NDArray[np.int64]  # (G,)
    impostors: int


def all_pairs(
    embeddings: ArrayLike,
    identities: ArrayLike,
    found: NDArray[np.bool_] | None = None,
    *,
    keep: int = KEEP,
    gallery: ArrayLike | None = None,
) -> AllPairs:
    """Score every pair of faces by cosine similarity.

    Args:
        embeddings: (N, D), unit length.
        identities: integer (N,), the person of each face.
        found: bool (N,), whether each face was found; all pairs of one that was not score -1,
            so that failures to acquire count (ISO/IEC 19795-1). All were if None.
        keep: how many of the highest impostor scores are kept at least.
        gallery: (N, D), unit length, another model's embeddings of the same faces: they stand for
            the second face of each pair. `embeddings` again if None.

    Raises:
        DataError: embeddings are not unit vectors, lengths differ, or there are no pairs of
            one of the two kinds.
    """
    vectors, people = unit_vectors(embeddings, identities)
    others = vectors if gallery is None else unit_vectors(gallery, identities)[0]
    _, person, sizes = np.unique(people, return_inverse=True, return_counts=True)
    n_genuine = int((sizes * (sizes - 1) // 2).sum())
    n_impostor = len(people) * (len(people) - 1) // 2 - n_genuine
    if not n_genuine or not n_impostor:
        raise DataError(
            f"{len(people)} faces of {len(sizes)} people make {n_genuine} genuine and "
            f"{n_impostor} impostor pairs.",
            "Verification needs pairs of both kinds.",
        )
    genuine, impostor = _Best(n_genuine), _Best(keep)
    for scores, faces, same in _pairs_in_blocks(vectors, others, person):
        if found is not None:
            scores[~found[faces].all(axis=1)] = -1.0
        genuine.add(scores[same], faces[same])
        impostor.add(scores[~same], faces[~same])
    return AllPairs(person, *genuine.sorted(), *impostor.sorted(), n_impostor)


def rates_at(pairs: AllPairs, threshold: float) -> ErrorRates:
    """FMR and FNMR at a threshold.

    Raises:
        InputError: the threshold lies below the impostor scores that were kept.
    """
    accepted = _above(pairs.impostor, threshold, or_equal=True)
    if accepted == len(pairs.impostor) < pairs.n_impostor:
        raise InputError(
            f"only the {accepted} highest of {pairs.n_impostor} impostor scores were kept, and "
            f"all of them reach the threshold {threshold:g}.",
            "Keep more of them.",
        )
    matched = _above(pairs.genuine, threshold, or_equal=True)
    return ErrorRates(
        fmr=accepted / pairs.n_impostor,
        fnmr=(len(pairs.genuine) - matched) / len(pairs.genuine),
        threshold=threshold,
    )


def fnmr_at_fmr(
    pairs: AllPairs, fmr: float, *, people: NDArray[np.intp] | None = None
) -> ErrorRates:
    """The lowest FNMR among thresholds whose measured FMR is <= `fmr`.

    Of the thresholds with that FNMR the highest is given, as in `metrics.tar_at_far`.

    Args:
        pairs: the scores.
        fmr: the false match rate allowed, 0..1.
        people: intp (K,), which people count, 0..P-1; one drawn twice counts twice, and then
            NaN stands for a rate of no pairs. Everyone once if None.

    Raises:
        InputError: `fmr` is not in 0..1, or too low for the impostor pairs (rule of three), or
            so high that it needs impostor scores that were not kept.
    """
    require_supported(fmr, pairs.n_impostor, "An FMR (of impostor pairs)")
    weights = _weights(pairs, people)
    n_genuine = int(weights.genuine.sum())
    if not n_genuine or not weights.impostors:
        return ErrorRates(np.nan, np.nan, np.nan)
    limit, rates = _highest_rejected(pairs, weights, fmr)
    matched = _above(pairs.genuine, limit)
    threshold = float(
        pairs.genuine[matched - 1] if matched else np.nextafter(_highest(pairs), np.inf)
    )
    accepted = _above(pairs.impostor[: len(rates)], threshold, or_equal=True)
    return ErrorRates(
        fmr=float(rates[accepted - 1]) if accepted else 0.0,
        fnmr=int(weights.genuine[matched:].sum()) / n_genuine,
        threshold=threshold,
    )


def det(pairs: AllPairs, points: int = 200) -> Det:
    """The DET curve at FMRs that lie evenly on a logarithmic axis.

    It ends at the highest FMR that the impostor scores kept can show. It is empty where there
    are too few impostor pairs for any FMR.
    """
    if not is_supported(1.0, pairs.n_impostor):
        return Det(np.empty(0), np.empty(0))
    end = len(pairs.impostor) / pairs.n_impostor
    if end < 1:  # that FMR itself needs one score more
        end *= 1 - 1e-6
    rates = np.geomspace(min(pairs.least_fmr, end), end, points)
    found = [fnmr_at_fmr(pairs, min(float(rate), 1.0)) for rate in rates]
    return Det(fmr=rates, fnmr=np.array([point.fnmr for point in found]))


class _Best:
    """The highest scores that were seen, with their faces, in bounded memory."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._scores: list[NDArray[np.float64]] = []
        self._faces: list[NDArray[np.int32]] = []
        self._held = 0
        self._floor = -np.inf

    def add(self, scores: NDArray[np.float64], faces: NDArray[np.int32]) -> None:
        high = scores >= self._floor
        self._scores.append(scores[high])
        self._faces.append(faces[high])
        self._held += int(high.sum())
        if self._held > 2 * self._keep:
            self._cut()

    def sorted(self) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
        if self._held > self._keep:
            self._cut()
        scores, faces = np.concatenate(self._scores), np.concatenate(self._faces)
        order = np.argsort(-scores, kind="stable")
        return scores[order], faces[order]

    def _cut(self) -> None:
        scores, faces = np.concatenate(self._scores), np.concatenate(self._faces)
        best = np.sort(np.argpartition(-scores, self._keep - 1)[: self._keep])
        self._scores, self._faces = [scores[best]], [faces[best]]
        self._held = self._keep
        self._floor = float(scores[best].min())


def _pairs_in_blocks(
    vectors: NDArray[np.float64], others: NDArray[np.float64], person: NDArray[np.intp]
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.bool_]]]:
    """Scores (B,), faces (B, 2) and whether they are genuine (B,), of each pair once."""
    n = len(vectors)
    rows = max(1, _SIMILARITIES_AT_ONCE // n)
    for start in range(0, n, rows):
        block = vectors[start : start + rows] @ others[start:].T
        first, second = np.triu_indices(len(block), k=1, m=block.shape[1])
        faces = np.stack([first + start, second + start], axis=1).astype(np.int32)
        yield block[first, second], faces, person[faces[:, 0]] == person[faces[:, 1]]


def _weights(pairs: AllPairs, people: NDArray[np.intp] | None) -> _Weights:
    counts = (
        np.ones(pairs.n_people, np.int64)
        if people is None
        else np.bincount(people, minlength=pairs.n_people).astype(np.int64)
    )
    faces = counts * np.bincount(pairs.person)
    impostors = (int(faces.sum()) ** 2 - int((faces**2).sum())) // 2
    return _Weights(counts, counts[pairs.person[pairs.genuine_faces[:, 0]]], impostors)


def _highest_rejected(
    pairs: AllPairs, weights: _Weights, fmr: float
) -> tuple[float, NDArray[np.float64]]:
    """The highest impostor score that must be rejected, and the FMR at the scores looked at.

    The score is -inf if all may be accepted. Only as many scores are looked at as are needed,
    which makes a resample fast.
    """
    kept = len(pairs.impostor)
    size = min(kept, int(2 * fmr * pairs.n_impostor) + 64)
    while True:
        first, second = pairs.person[pairs.impostor_faces[:size]].T
        rates = np.cumsum(weights.people[first] * weights.people[second]) / weights.impostors
        place = int(np.searchsorted(rates, fmr, side="right"))
        if place < size or size == kept:
            break
        size = min(kept, 2 * size)
    if place < size:
        return float(pairs.impostor[place]), rates
    if kept == pairs.n_impostor:
        return -np.inf, rates
    raise InputError(
        f"an FMR of {fmr:g} needs more than the {kept} highest of {pairs.n_impostor} impostor "
        "scores.",
        "Keep more of them, or ask for a lower FMR.",
    )


def _above(falling: NDArray[np.float64], limit: float, *, or_equal: bool = False) -> int:
    """How many of falling scores are above a limit, or at it too."""
    return int(np.searchsorted(-falling, -limit, side="right" if or_equal else "left"))


def _highest(pairs: AllPairs) -> float:
    return float(max(pairs.genuine[0], pairs.impostor[0]))

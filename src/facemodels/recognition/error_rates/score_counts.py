"""FMR and FNMR over every pair of very many faces, from counts of scores instead of scores.

A million faces make 5 × 10¹¹ pairs. Their similarities are computed in tiles and counted in bins
of 2⁻¹⁹, and forgotten. The counts are exact, and so are both rates at every threshold that is an
edge of a bin; other thresholds are not to be had. `all_pairs` is for sets whose highest scores
can be kept: it also knows whose they are, which intervals and groups need.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facemodels.errors import DataError
from facemodels.progress import Advance
from facemodels.recognition.error_rates.all_pairs import Det, ErrorRates
from facemodels.recognition.error_rates.embeddings import unit_rows
from facemodels.recognition.error_rates.support import is_supported, least_rate, require_supported

_STEPS = 2**19  # bins from 0 to 1
_MARGIN = 2**12  # bins beyond 1, for lengths that rounding made longer than 1
_TILE = 1024  # faces; a tile of scores is 8 MiB


@dataclass(frozen=True, eq=False)
class ScoreCounts:
    """How many pairs have a score in each bin.

    Attributes:
        genuine: int64 (B,), pairs of one person; bin i has the scores from `edge(i)` to below
            `edge(i + 1)`.
        impostor: int64 (B,), pairs of two people.
    """

    genuine: NDArray[np.int64]
    impostor: NDArray[np.int64]

    @property
    def n_impostor(self) -> int:
        """How many impostor pairs there are."""
        return int(self.impostor.sum())

    @property
    def least_fmr(self) -> float:
        """The lowest FMR that the impostor pairs can show, by the rule of three."""
        return least_rate(self.n_impostor)

    def rates_at(self, threshold: float) -> ErrorRates:
        """FMR and FNMR at the lowest edge that is not below a threshold."""
        first = int(np.ceil(threshold * _STEPS)) + _STEPS + _MARGIN
        return self._rates(min(max(first, 0), len(self.impostor)))

    def fnmr_at_fmr(self, fmr: float) -> ErrorRates:
        """FMR and FNMR at the lowest edge with an FMR of at most `fmr`.

        Raises:
            InputError: `fmr` is not in 0..1, or too low for the impostor pairs (rule of three).
        """
        require_supported(fmr, self.n_impostor, "An FMR (of impostor pairs)")
        rates = self._accepted / self.n_impostor
        return self._rates(len(rates) - int(np.searchsorted(rates, fmr, side="right")))

    def det(self, points: int = 200) -> Det:
        """The DET curve, as `all_pairs.det` gives it, of thresholds that are edges."""
        if not is_supported(1.0, self.n_impostor):
            return Det(np.empty(0), np.empty(0))
        rates = np.geomspace(self.least_fmr, 1.0, points)
        bins = np.searchsorted(self._accepted / self.n_impostor, rates, side="right")
        rejected = np.concatenate([[0], np.cumsum(self.genuine)])
        return Det(fmr=rates, fnmr=rejected[len(self.impostor) - bins] / rejected[-1])

    @cached_property
    def _accepted(self) -> NDArray[np.int64]:
        """The impostor pairs in the highest bin, in the two highest, and so on."""
        return np.cumsum(self.impostor[::-1])

    def _rates(self, first: int) -> ErrorRates:
        """The rates where the bins from `first` on are accepted."""
        return ErrorRates(
            fmr=int(self.impostor[first:].sum()) / self.n_impostor,
            fnmr=int(self.genuine[:first].sum()) / int(self.genuine.sum()),
            threshold=edge(first),
        )


def edge(number: int) -> float:
    """The lowest score of a bin."""
    return (number - _STEPS - _MARGIN) / _STEPS


def count_scores(
    embeddings: ArrayLike,
    identities: ArrayLike,
    found: NDArray[np.bool_] | None = None,
    *,
    gallery: ArrayLike | None = None,
    advance: Advance | None = None,
) -> ScoreCounts:
    """Count the cosine similarities of all pairs of faces.

    It is fastest where the faces of a person stand together, as in prepared data.

    Args:
        embeddings: (N, D), unit length; may be memory-mapped.
        identities: integer (N,), the person of each face.
        found: bool (N,), as in `all_pairs.all_pairs`.
        gallery: (N, D), as in `all_pairs.all_pairs`.
        advance: is called with the number of newly counted pairs.

    Raises:
        DataError: embeddings are not unit vectors, lengths differ, or there are no pairs of
            one of the two kinds.
    """
    vectors, person = unit_rows(embeddings, identities)
    others = vectors if gallery is None else unit_rows(gallery, identities)[0]
    counts = np.zeros((2, 2 * (_STEPS + _MARGIN)), np.int64)  # impostor, genuine
    for rows, columns in _tiles(len(person)):
        scores = vectors[rows].astype(np.float64) @ others[columns].astype(np.float64).T
        if found is not None:
            scores[~found[rows]] = -1.0
            scores[:, ~found[columns]] = -1.0
        same = _same(person[rows], person[columns])
        pairs = np.triu(np.ones(scores.shape, np.bool_), 1) if rows == columns else None
        for kind, chosen in enumerate(_of_two_kinds(scores, same, pairs)):
            counts[kind] += np.bincount(_bins(chosen), minlength=counts.shape[1])
        if advance is not None:
            advance(scores.size if pairs is None else int(pairs.sum()))
    if not counts.any(axis=1).all():
        raise DataError(
            f"{len(person)} faces make {counts[1].sum()} genuine and {counts[0].sum()} impostor "
            "pairs.",
            "Verification needs pairs of both kinds.",
        )
    return ScoreCounts(genuine=counts[1], impostor=counts[0])


def _bins(scores: NDArray[np.float64]) -> NDArray[np.intp]:
    """The bin of each score, without rounding; the scores are used up."""
    np.multiply(scores, _STEPS, out=scores)
    np.floor(scores, out=scores)
    scores += _STEPS + _MARGIN
    return scores.astype(np.intp)


def _tiles(n: int) -> Iterator[tuple[slice, slice]]:
    """The tiles of the upper triangle."""
    for row in range(0, n, _TILE):
        for column in range(row, n, _TILE):
            yield slice(row, min(row + _TILE, n)), slice(column, min(column + _TILE, n))


def _same(rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.bool_] | None:
    """Which pairs of a tile show one person; None where no pair can."""
    if rows.max() < columns.min() or columns.max() < rows.min():
        return None
    same: NDArray[np.bool_] = rows[:, None] == columns[None, :]
    return same


def _of_two_kinds(
    scores: NDArray[np.float64], same: NDArray[np.bool_] | None, pairs: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The impostor scores and the genuine ones, of the pairs of a tile; of all if None."""
    if same is None:
        return scores[pairs] if pairs is not None else scores.ravel(), np.empty(0)
    different = ~same
    if pairs is not None:
        same, different = same & pairs, different & pairs
    return scores[different], scores[same]

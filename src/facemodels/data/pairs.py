"""Verification pairs in k folds, as in LFW's View 2.

Folds share no identity, and each holds as many pairs of one person as of two people.
Source: Huang et al., "Labeled Faces in the Wild", 2007.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facemodels.errors import DataError


@dataclass(frozen=True)
class Pairs:
    """Verification pairs.

    Attributes:
        index: int32 (P, 2), indices of the two images.
        same: bool (P,), whether they show one person.
        fold: int8 (P,), the fold that the pair belongs to.
    """

    index: NDArray[np.int32]
    same: NDArray[np.bool_]
    fold: NDArray[np.int8]


def verification_pairs(
    identities: NDArray[np.int32], *, folds: int, per_fold: int, seed: int
) -> Pairs:
    """Draw `per_fold` pairs of one person, and as many of two people, in each fold.

    No pair is drawn twice.

    Args:
        identities: int32 (N,), the person on each image.
        folds: number of folds, to which the people are dealt.
        per_fold: number of pairs of one person in a fold. A fold with fewer possible pairs
            gives all that it has, and as many of two people.
        seed: the same seed draws the same pairs.

    Raises:
        DataError: a fold has fewer than two people, or no pair of one person.
    """
    rng = np.random.default_rng([seed, 2])
    people = rng.permutation(np.unique(identities))
    index: list[NDArray[np.int32]] = []
    same: list[NDArray[np.bool_]] = []
    fold_of: list[NDArray[np.int8]] = []
    for fold, members in enumerate(np.array_split(people, folds)):
        images = np.flatnonzero(np.isin(identities, members))
        candidates = _Candidates(identities[images])
        count = min(per_fold, candidates.same, candidates.different)
        if count == 0:
            raise DataError(
                f"fold {fold} of {folds} holds {len(members)} people and no pair of each kind.",
                "Give more identities or images, or ask for fewer folds.",
            )
        for kind, total, pairs in (
            (True, candidates.same, candidates.same_pairs),
            (False, candidates.different, candidates.different_pairs),
        ):
            ranks = np.sort(rng.choice(total, size=count, replace=False))
            index.append(images[pairs(ranks)].astype(np.int32))
            same.append(np.full(count, kind))
            fold_of.append(np.full(count, fold, np.int8))
    return Pairs(np.concatenate(index), np.concatenate(same), np.concatenate(fold_of))


class _Candidates:
    """All pairs of N images by their ranks, without a list of them: a million have 5 × 10¹¹.

    The pairs (i, j), i < j, are ranked by i, then by j, those of one person and those of two
    people apart.
    """

    def __init__(self, person: NDArray[np.int32]) -> None:
        n = len(person)
        self._order = np.argsort(person, kind="stable")  # each person's images, rising
        _, starts, sizes = np.unique(person[self._order], return_index=True, return_counts=True)
        self._place = np.empty(n, np.int64)  # of an image in the order
        self._place[self._order] = np.arange(n)
        self._later = np.empty(n, np.int64)  # images of the same person after this one
        self._later[self._order] = np.repeat(starts + sizes, sizes) - 1 - np.arange(n)
        self._same = np.cumsum(self._later)
        self._different = np.cumsum(n - 1 - np.arange(n) - self._later)

    @property
    def same(self) -> int:
        """How many pairs show one person."""
        return int(self._same[-1]) if len(self._same) else 0

    @property
    def different(self) -> int:
        """How many pairs show two people."""
        return int(self._different[-1]) if len(self._different) else 0

    def same_pairs(self, ranks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Pairs (K, 2) of one person."""
        first = np.searchsorted(self._same, ranks, side="right")
        skipped = ranks - (self._same[first] - self._later[first])
        return np.stack([first, self._order[self._place[first] + 1 + skipped]], axis=1)

    def different_pairs(self, ranks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Pairs (K, 2) of two people."""
        first = np.searchsorted(self._different, ranks, side="right")
        before = np.concatenate([[0], self._different])[first]
        return np.array(
            [(i, self._other(i, k)) for i, k in zip(first, ranks - before, strict=True)], np.int64
        )

    def _other(self, image: int, skipped: int) -> int:
        """The image after `image` of another person, of which `skipped` come before."""
        start = self._place[image] + 1
        same = self._order[start : start + self._later[image]]
        others_before = same - (image + 1) - np.arange(len(same))
        return int(image + 1 + skipped + np.searchsorted(others_before, skipped, side="right"))

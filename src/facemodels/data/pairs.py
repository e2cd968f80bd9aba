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
        first, second = np.triu_indices(len(images), k=1)
        candidates = np.stack([images[first], images[second]], axis=1).astype(np.int32)
        matches = identities[candidates[:, 0]] == identities[candidates[:, 1]]
        count = min(per_fold, int(matches.sum()), int((~matches).sum()))
        if count == 0:
            raise DataError(
                f"fold {fold} of {folds} holds {len(members)} people and no pair of each kind.",
                "Give more identities or images, or ask for fewer folds.",
            )
        for kind in (True, False):
            rows = rng.choice(np.flatnonzero(matches == kind), size=count, replace=False)
            index.append(candidates[np.sort(rows)])
            same.append(np.full(count, kind))
            fold_of.append(np.full(count, fold, np.int8))
    return Pairs(np.concatenate(index), np.concatenate(same), np.concatenate(fold_of))

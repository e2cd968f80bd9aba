"""Verification pairs in k folds, in the manner of LFW's View 2.

Source: Huang et al., "Labeled Faces in the Wild", 2007: folds share no identity, and
each holds as many same-person as different-person pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facemodels.errors import DataError


@dataclass(frozen=True)
class Pairs:
    """Verification pairs: `index` int32 (P, 2), `same` bool (P,), `fold` int8 (P,)."""

    index: NDArray[np.int32]
    same: NDArray[np.bool_]
    fold: NDArray[np.int8]


def verification_pairs(
    identities: NDArray[np.int32], *, folds: int, per_fold: int, seed: int
) -> Pairs:
    """Draw `per_fold` same and `per_fold` different pairs in each fold, without repetition.

    Args:
        identities: int32 (N,), the person on each image.
        folds: how many folds the people are dealt into.
        per_fold: pairs of each kind a fold; a fold with fewer possible same pairs gives
            all it has, and as many different ones.
        seed: makes the draw repeatable.

    Raises:
        DataError: some fold has fewer than two people or no same pair.
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

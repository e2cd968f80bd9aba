"""How evenly the groups of faces are served.

Summaries over groups as NIST's FRTE gives them: the highest rate of a group, and that rate over
the geometric mean of all groups, 1 where all are served alike. Source: Grother, "Face
Recognition Vendor Test (FRVT) Part 8: Summarizing Demographic Differentials", NISTIR 8429,
2022. The threshold is one for all groups, and a group's impostor pairs are those of two of its
own faces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facemodels.data.splits import NO_GROUP
from facemodels.errors import DataError
from facemodels.recognition.error_rates.all_pairs import AllPairs, rates_at


@dataclass(frozen=True)
class GroupAccuracy:
    """Accuracy (0..1) over the `n_pairs` pairs of one group."""

    accuracy: float
    n_pairs: int


@dataclass(frozen=True)
class GroupErrors:
    """FMR and FNMR (0..1) over the impostor and genuine pairs of one group."""

    fmr: float
    fnmr: float
    n_impostor: int
    n_genuine: int


@dataclass(frozen=True)
class Differential:
    """The highest rate (0..1) of any group, and that over the geometric mean of all (>= 1)."""

    maximum: float
    over_geometric_mean: float


def accuracy_by_group(correct: ArrayLike, pair_groups: ArrayLike) -> dict[int, GroupAccuracy]:
    """Accuracy of each group, over the pairs of which both faces are of that group.

    Args:
        correct: bool (P,), whether each pair was judged right (`KFold.correct`).
        pair_groups: int8 (P, 2), group of the two faces or NO_GROUP.

    Returns:
        By group, in ascending order; a group without such pairs is absent.

    Raises:
        DataError: the shapes do not fit.
    """
    right = np.asarray(correct, np.bool_)
    groups = np.asarray(pair_groups)
    if groups.shape != (len(right), 2):
        raise DataError(f"{len(right)} pairs with groups of shape {groups.shape}.", "Pass (P, 2).")
    shared = np.where(groups[:, 0] == groups[:, 1], groups[:, 0], NO_GROUP)
    return {
        int(group): GroupAccuracy(
            accuracy=float(right[shared == group].mean()), n_pairs=int((shared == group).sum())
        )
        for group in np.unique(shared[shared != NO_GROUP])
    }


def errors_by_group(pairs: AllPairs, groups: ArrayLike, threshold: float) -> dict[int, GroupErrors]:
    """FMR and FNMR of each group at one threshold, over all pairs of two of its faces.

    Args:
        pairs: the scores of N faces.
        groups: int8 (N,), group of each face or NO_GROUP.
        threshold: of all groups.

    Returns:
        By group, in ascending order; a group without pairs of both kinds is absent.

    Raises:
        DataError: the shapes do not fit.
        InputError: as in `all_pairs.rates_at`.
    """
    group = np.asarray(groups)
    if group.shape != pairs.person.shape:
        raise DataError(f"{len(pairs.person)} faces with groups of shape {group.shape}.")
    rates_at(pairs, threshold)  # refuses a threshold below the scores that were kept
    accepted = pairs.impostor_faces[pairs.impostor >= threshold]
    rejected = pairs.genuine_faces[pairs.genuine < threshold]
    found = {}
    for number in np.unique(group[group != NO_GROUP]):
        member = group == number
        sizes = np.bincount(pairs.person[member])
        n_genuine = int((sizes * (sizes - 1) // 2).sum())
        n_impostor = int(sizes.sum() * (sizes.sum() - 1) // 2) - n_genuine
        if n_genuine and n_impostor:
            found[int(number)] = GroupErrors(
                fmr=_within(accepted, member) / n_impostor,
                fnmr=_within(rejected, member) / n_genuine,
                n_impostor=n_impostor,
                n_genuine=n_genuine,
            )
    return found


def fmr_differential(errors: Mapping[int, GroupErrors]) -> Differential:
    """How far the FMRs of the groups lie apart; see `_differential`."""
    return _differential(
        [group.fmr for group in errors.values()], [group.n_impostor for group in errors.values()]
    )


def fnmr_differential(errors: Mapping[int, GroupErrors]) -> Differential:
    """How far the FNMRs of the groups lie apart; see `_differential`."""
    return _differential(
        [group.fnmr for group in errors.values()], [group.n_genuine for group in errors.values()]
    )


def _differential(rates: list[float], trials: list[int]) -> Differential:
    """The summaries of two or more groups.

    A geometric mean with a zero is zero and would make every ratio infinite, so a group
    without an error counts as half an error there; the maximum is as measured.

    Raises:
        DataError: fewer than two groups.
    """
    if len(rates) < 2:
        raise DataError(f"{len(rates)} groups; a differential needs two.")
    least = [max(rate, 0.5 / n) for rate, n in zip(rates, trials, strict=True)]
    mean = float(np.exp(np.mean(np.log(least))))
    return Differential(maximum=max(rates), over_geometric_mean=max(least) / mean)


def _within(faces: NDArray[np.int32], member: NDArray[np.bool_]) -> int:
    """How many pairs have both faces in the group."""
    return int(member[faces].all(axis=1).sum())

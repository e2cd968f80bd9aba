"""Dealing samples to splits by a hash of their name."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from facemodels.data.splits import NO_GROUP
from facemodels.errors import DataError


def deal(key: str, seed: int, val_share: float, test_share: float) -> str:
    """The split of a key: fixed by key and seed, whatever else is in the dataset."""
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < test_share:
        return "test"
    return "val" if place < test_share + val_share else "train"


def no_groups(count: int) -> NDArray[np.int8]:
    """The groups of faces that nobody put into a group."""
    return np.full(count, NO_GROUP, np.int8)


def check_shares(val_share: float, test_share: float) -> None:
    """Refuse shares that leave nothing to train on.

    Raises:
        DataError: a share below 0, or both above 1 together.
    """
    if min(val_share, test_share) < 0 or val_share + test_share > 1:
        raise DataError(
            f"val_share {val_share:g} and test_share {test_share:g} do not fit into 1.",
            "Give shares between 0 and 1 that leave something to train on.",
        )

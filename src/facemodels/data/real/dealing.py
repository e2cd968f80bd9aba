"""Deals samples to splits by a hash of their names."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from facemodels.data.splits import NO_GROUP
from facemodels.errors import DataError


def deal(key: str, seed: int, val_share: float, test_share: float) -> str:
    """The split of a key. It depends on the key and the seed, not on the rest of the dataset."""
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < test_share:
        return "test"
    return "val" if place < test_share + val_share else "train"


def no_groups(count: int) -> NDArray[np.int8]:
    """NO_GROUP for each of `count` faces, int8 (count,)."""
    return np.full(count, NO_GROUP, np.int8)


def check_shares(val_share: float, test_share: float) -> None:
    """Check that the shares leave something to train on.

    Raises:
        DataError: a share is below 0, or their sum is above 1.
    """
    if min(val_share, test_share) < 0 or val_share + test_share > 1:
        raise DataError(
            f"val_share {val_share:g} and test_share {test_share:g} do not fit into 1.",
            "Give shares between 0 and 1 that leave something to train on.",
        )

"""Finds pictures that are in two splits: what a model has learned from is no test of it.

Pictures are compared by a difference hash (N. Krawetz, "Kind of like that", 2013) of 16 x 16
steps, which another compression, size or brightness hardly changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from facemodels.data.splits import Images
from facemodels.imaging import resize

_SIDE = 16  # steps a row, and rows: 256 bits
_NEAR = 6  # bits that two copies of a picture may differ in
_FLAT = 24  # bits; a picture with fewer steps shows nothing that could be told apart
_ROWS = 256  # hashes compared at once
Hashes = NDArray[np.uint64]


def shared_pictures(splits: Mapping[str, Sequence[NDArray[np.uint8]] | Images]) -> dict[str, int]:
    """How many pictures of one split are also in another, by `first/second`; none are left out.

    Args:
        splits: the images of each split by name, uint8 (N, S, S, 3), RGB.
    """
    hashes = {name: _hashes(images) for name, images in splits.items()}
    names = list(hashes)
    found = {
        f"{first}/{second}": _shared(hashes[first], hashes[second])
        for place, first in enumerate(names)
        for second in names[place + 1 :]
    }
    return {pair: count for pair, count in found.items() if count}


def _hashes(images: Sequence[NDArray[np.uint8]] | Images) -> Hashes:
    """Uint64 (K, 4): a bit for each step that gets brighter; flat pictures have no row."""
    hashes = np.empty((len(images), _SIDE * _SIDE // 64), np.uint64)
    for row, image in enumerate(images):
        hashes[row] = _hash(image)
    steps = np.bitwise_count(hashes).sum(axis=1, dtype=np.int32)
    kept: Hashes = hashes[(steps >= _FLAT) & (steps <= _SIDE * _SIDE - _FLAT)]
    return kept


def _hash(image: NDArray[np.uint8]) -> Hashes:
    small = resize(np.ascontiguousarray(image), _SIDE + 1, _SIDE).astype(np.int32).sum(axis=2)
    bits: Hashes = np.packbits(small[:, 1:] > small[:, :-1]).view(np.uint64)
    return bits


def _shared(first: Hashes, second: Hashes) -> int:
    """Rows of `second` that are near a row of `first`."""
    count = 0
    for start in range(0, len(second), _ROWS):
        near = np.zeros(len(second[start : start + _ROWS]), np.bool_)
        for row in range(0, len(first), _ROWS):
            different = second[start : start + _ROWS, None] ^ first[None, row : row + _ROWS]
            bits = np.bitwise_count(different).sum(axis=2, dtype=np.int32)
            near |= (bits <= _NEAR).any(axis=1)
        count += int(near.sum())
    return count

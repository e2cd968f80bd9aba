"""Finds pictures that are in two splits: what a model has learned from is no test of it.

Pictures are compared by a difference hash (N. Krawetz, "Kind of like that", 2013) of 16 x 16
steps, which another compression, size or brightness hardly changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from facemodels.imaging import resize

_SIDE = 16  # steps a row, and rows: 256 bits
_NEAR = 6  # bits that two copies of a picture may differ in
_FLAT = 24  # bits; a picture with fewer steps shows nothing that could be told apart
_ROWS = 256  # hashes compared at once
_BITS = np.array([bin(value).count("1") for value in range(256)], np.uint8)

Hashes = NDArray[np.uint8]


def shared_pictures(splits: Mapping[str, Sequence[NDArray[np.uint8]]]) -> dict[str, int]:
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


def _hashes(images: Sequence[NDArray[np.uint8]]) -> Hashes:
    """Uint8 (K, 32): a bit for each step that gets brighter; flat pictures have no row."""
    rows = [_hash(image) for image in images]
    kept = [row for row in rows if _FLAT <= int(_BITS[row].sum()) <= _SIDE * _SIDE - _FLAT]
    return np.array(kept, np.uint8).reshape(-1, _SIDE * _SIDE // 8)


def _hash(image: NDArray[np.uint8]) -> Hashes:
    small = resize(np.ascontiguousarray(image), _SIDE + 1, _SIDE).astype(np.int32).sum(axis=2)
    return np.packbits(small[:, 1:] > small[:, :-1])


def _shared(first: Hashes, second: Hashes) -> int:
    """Rows of `second` that are near a row of `first`."""
    count = 0
    for start in range(0, len(second), _ROWS):
        near = np.zeros(len(second[start : start + _ROWS]), np.bool_)
        for row in range(0, len(first), _ROWS):
            different = second[start : start + _ROWS, None] ^ first[None, row : row + _ROWS]
            near |= (_BITS[different].sum(axis=2, dtype=np.int32) <= _NEAR).any(axis=1)
        count += int(near.sum())
    return count

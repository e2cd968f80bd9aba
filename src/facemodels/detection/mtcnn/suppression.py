"""Non-maximum suppression over many boxes at once, by the rules that MTCNN uses.

The best boxes are walked down in blocks; what the kept ones of a block cover of all that follows
is struck out at once.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

_BLOCK = 64  # boxes that are walked down together

Overlap = Literal["union", "smaller"]


def suppress(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    threshold: float,
    *,
    overlap: Overlap = "union",
) -> NDArray[np.intp]:
    """Keep the best box, drop what overlaps it, repeat.

    Args:
        boxes: float32 (K, 4), x0 y0 x1 y1.
        scores: float32 (K,).
        threshold: a box is dropped when its overlap with a kept one is above this.
        overlap: `union`: intersection over union of the boxes' areas, as torchvision's `nms`.
            `smaller`: intersection over the smaller of both, where a box includes the pixels
            on its border, as the last stage of MTCNN.

    Returns:
        Indices of the kept boxes, best first. Of equal scores the first goes first by `union`.
        By `smaller` they stand as NumPy's sort leaves them, as in facenet-pytorch.

    Equal scores are not rare: two squares may hold the same pixels, and O-Net's best scores are
    all 0.9999999. Boxes of one score may lie twelve pixels apart, so only the same sort keeps
    the same box. It depends on the vector instructions of the processor; for up to 256 boxes,
    more than O-Net confirms, AVX2 and AVX-512 order them alike.
    """
    by_union = overlap == "union"
    order = np.argsort(-scores, kind="stable") if by_union else np.argsort(scores)[::-1]
    ranked = boxes[order]
    kept, left = [np.empty(0, np.intp)], np.arange(len(order))
    while len(left):
        block, left = left[:_BLOCK], left[_BLOCK:]
        covered = _overlaps(ranked[block], ranked[block], overlap) > threshold
        block = block[_uncovered(covered)]
        kept.append(block)
        if len(left):
            covered = _overlaps(ranked[block], ranked[left], overlap) > threshold
            left = left[~covered.any(axis=0)]
    return order[np.concatenate(kept)]


def _uncovered(covered: NDArray[np.bool_]) -> list[int]:
    """The boxes, best first, that no kept one before them covers.

    Args:
        covered: (N, N), whether the box of the row covers that of the column.
    """
    kept, gone = [], 0  # the second has a bit for each box
    for row, bits in enumerate(np.packbits(covered, axis=1, bitorder="little")):
        if not gone >> row & 1:
            kept.append(row)
            gone |= int.from_bytes(bits, "little")
    return kept


def _overlaps(
    some: NDArray[np.float32], many: NDArray[np.float32], overlap: Overlap
) -> NDArray[np.float32]:
    """The overlap of each of (N, 4) with each of (M, 4), as (N, M)."""
    border = np.float32(overlap == "smaller")
    some, many = some.T[:, :, None], many.T[:, None, :]  # x0, y0, x1, y1
    own, other = (
        (boxes[2] - boxes[0] + border) * (boxes[3] - boxes[1] + border) for boxes in (some, many)
    )
    shared, height = (_shared(some[i::2], many[i::2], border) for i in range(2))
    shared *= height
    whole = np.minimum(own, other) if overlap == "smaller" else own + other - shared
    ratio: NDArray[np.float32] = np.zeros_like(shared)
    np.divide(shared, whole, out=ratio, where=whole > 0)
    return ratio


def _shared(
    some: NDArray[np.float32], many: NDArray[np.float32], border: np.float32
) -> NDArray[np.float32]:
    """The length that each of (2, N, 1) ranges has in common with each of (2, 1, M): (N, M)."""
    length: NDArray[np.float32] = np.minimum(some[1], many[1])
    length -= np.maximum(some[0], many[0])
    length += border
    return np.maximum(length, 0, out=length)

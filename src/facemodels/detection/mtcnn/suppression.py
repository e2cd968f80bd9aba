"""Non-maximum suppression over many boxes at once, by the rules that MTCNN uses.

The overlaps of a few hundred boxes with each other fit into one matrix, which NumPy fills at
once; what is left to a loop is to walk down the boxes and strike out what a kept one covers.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

_BLOCK = 512  # boxes whose overlaps with all later ones are held at a time

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
    alive = np.ones(len(order), np.bool_)
    for start in range(0, len(order), _BLOCK):
        covered = _overlaps(ranked[start : start + _BLOCK], ranked[start:], overlap) > threshold
        for row, covers in enumerate(covered):
            if alive[start + row]:
                alive[start + row + 1 :] &= ~covers[row + 1 :]
    return order[alive]


def _overlaps(
    some: NDArray[np.float32], many: NDArray[np.float32], overlap: Overlap
) -> NDArray[np.float32]:
    """The overlap of each of (N, 4) with each of (M, 4), as (N, M)."""
    border = np.float32(overlap == "smaller")
    own, other = (
        (boxes[:, 2] - boxes[:, 0] + border) * (boxes[:, 3] - boxes[:, 1] + border)
        for boxes in (some, many)
    )
    low = np.maximum(some[:, None, :2], many[None, :, :2])
    high = np.minimum(some[:, None, 2:], many[None, :, 2:])
    sides = np.maximum(high - low + border, 0)
    shared = sides[..., 0] * sides[..., 1]
    if overlap == "smaller":
        whole = np.minimum(own[:, None], other[None])
    else:
        whole = own[:, None] + other[None] - shared
    ratio: NDArray[np.float32] = np.zeros_like(shared)
    np.divide(shared, whole, out=ratio, where=whole > 0)
    return ratio

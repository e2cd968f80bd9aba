"""Non-maximum suppression over many boxes at once, by the rules that MTCNN uses.

The best boxes are walked down in blocks; what the kept ones of a block cover of all that follows
is struck out at once.
"""

from __future__ import annotations

from dataclasses import dataclass
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
    ranked = _Boxes.of(boxes[order], border=np.float32(not by_union))
    kept, left = [np.empty(0, np.intp)], np.arange(len(order))
    while len(left):
        block, left = left[:_BLOCK], left[_BLOCK:]
        some = ranked.chosen(block)
        block = block[_uncovered(some.overlaps(some, overlap) > threshold)]
        kept.append(block)
        if len(left):
            covered = ranked.chosen(block).overlaps(ranked.chosen(left), overlap) > threshold
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


@dataclass(frozen=True, eq=False)
class _Boxes:
    """Boxes as columns, with their areas.

    Attributes:
        corners: float32 (4, N), x0, y0, x1, y1.
        areas: float32 (N,).
        border: 1 where the pixels on the border are part of a box, else 0.
    """

    corners: NDArray[np.float32]
    areas: NDArray[np.float32]
    border: np.float32

    @classmethod
    def of(cls, boxes: NDArray[np.float32], border: np.float32) -> _Boxes:
        """The boxes (N, 4)."""
        corners = np.ascontiguousarray(boxes.T)
        sides = corners[2:] - corners[:2]
        sides += border
        return cls(corners, sides[0] * sides[1], border)

    def chosen(self, rows: NDArray[np.intp]) -> _Boxes:
        """Some of them."""
        return _Boxes(self.corners[:, rows], self.areas[rows], self.border)

    def overlaps(self, others: _Boxes, overlap: Overlap) -> NDArray[np.float32]:
        """The overlap of each with each of M others, as (N, M); nan for two without an area."""
        shared = self._shared(others, 0)
        shared *= self._shared(others, 1)
        own = self.areas[:, None]
        if overlap == "smaller":
            whole = np.minimum(own, others.areas)
        else:
            whole = own + others.areas
            whole -= shared
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.divide(shared, whole, out=shared)

    def _shared(self, others: _Boxes, axis: int) -> NDArray[np.float32]:
        """The length along an axis that each has in common with each of M others: (N, M)."""
        length: NDArray[np.float32] = np.minimum(
            self.corners[axis + 2, :, None], others.corners[axis + 2]
        )
        length -= np.maximum(self.corners[axis, :, None], others.corners[axis])
        if self.border:
            length += self.border
        return np.maximum(length, 0, out=length)

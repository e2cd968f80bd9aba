"""Non-maximum suppression over many boxes at once, by the rules that MTCNN uses.

The best boxes are walked down in blocks; what the kept ones of a block cover of all that follows
is struck out at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

_BLOCK = 64  # boxes that are walked down together; as many as a number has bits

Overlap = Literal["union", "smaller"]


@np.errstate(divide="ignore", invalid="ignore")  # of boxes without an area
def suppress(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    threshold: float,
    *,
    overlap: Overlap = "union",
    groups: NDArray[np.intp] | None = None,
) -> NDArray[np.intp]:
    """Keep the best box, drop what overlaps it, repeat.

    Args:
        boxes: float32 (K, 4), x0 y0 x1 y1.
        scores: float32 (K,).
        threshold: a box is dropped when its overlap with a kept one is above this.
        overlap: `union`: intersection over union of the boxes' areas, as torchvision's `nms`.
            `smaller`: intersection over the smaller of both, where a box includes the pixels
            on its border, as the last stage of MTCNN.
        groups: (K,), of `union`: only a box of the same group drops another.

    Returns:
        Indices of the kept boxes, group by group, best first. Of equal scores the first goes
        first by `union`. By `smaller` they stand as NumPy's sort leaves them, as in
        facenet-pytorch.

    Equal scores are not rare: two squares may hold the same pixels, and O-Net's best scores are
    all 0.9999999. Boxes of one score may lie twelve pixels apart, so only the same sort keeps
    the same box. It depends on the vector instructions of the processor; for up to 256 boxes,
    more than O-Net confirms, AVX2 and AVX-512 order them alike.
    """
    by_union = overlap == "union"
    group = np.zeros(len(boxes), np.intp) if groups is None else groups
    order = np.lexsort((-scores, group)) if by_union else np.argsort(scores)[::-1]
    group = group[order]
    ranked = _Boxes.of(boxes[order], border=np.float32(not by_union))

    def covered(rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.bool_]:
        found = ranked.chosen(rows).overlaps(ranked.chosen(columns), overlap) > threshold
        if groups is not None:
            found &= group[rows, None] == group[columns]
        return found

    kept, left = [np.empty(0, np.intp)], np.arange(len(order))
    while len(left):
        block, left = left[:_BLOCK], left[_BLOCK:]
        block = block[_uncovered(covered(block, block))]
        kept.append(block)
        # Boxes of groups that the block does not reach into stay as they are.
        reach = np.searchsorted(group[left], group[block[-1]], side="right")
        if reach:
            near = left[:reach]
            near = near[~covered(block, near).any(axis=0)]
            left = near if reach == len(left) else np.concatenate([near, left[reach:]])
    return order[np.concatenate(kept)]


def _uncovered(covered: NDArray[np.bool_]) -> list[int]:
    """The boxes, best first, that no kept one before them covers.

    Args:
        covered: (N, N), whether the box of the row covers that of the column; N is 64 at most.
    """
    bits = np.zeros((len(covered), 8), np.uint8)  # of a row, for one number
    bits[:, : -(-len(covered) // 8)] = np.packbits(covered, axis=1, bitorder="little")
    kept, gone = [], 0
    for row, covers in enumerate(bits.view("<u8")[:, 0].tolist()):
        if not gone >> row & 1:
            kept.append(row)
            gone |= covers
    return kept


@dataclass(frozen=True, eq=False)
class _Boxes:
    """Boxes as columns, with their areas.

    Attributes:
        corners: float32 (2, 2, N), x0 y0 and x1 y1.
        areas: float32 (N,).
        border: 1 where the pixels on the border are part of a box, else 0.
    """

    corners: NDArray[np.float32]
    areas: NDArray[np.float32]
    border: np.float32

    @classmethod
    def of(cls, boxes: NDArray[np.float32], border: np.float32) -> _Boxes:
        """The boxes (N, 4)."""
        corners = np.ascontiguousarray(boxes.T).reshape(2, 2, -1)
        sides = corners[1] - corners[0]
        sides += border
        return cls(corners, sides[0] * sides[1], border)

    def chosen(self, rows: NDArray[np.intp]) -> _Boxes:
        """Some of them."""
        return _Boxes(self.corners.take(rows, axis=2), self.areas[rows], self.border)

    def overlaps(self, others: _Boxes, overlap: Overlap) -> NDArray[np.float32]:
        """The overlap of each with each of M others, as (N, M); nan for two without an area."""
        sides = np.minimum(self.corners[1, :, :, None], others.corners[1, :, None])
        sides -= np.maximum(self.corners[0, :, :, None], others.corners[0, :, None])
        if self.border:
            sides += self.border
        np.maximum(sides, 0, out=sides)
        shared: NDArray[np.float32] = sides[0]
        shared *= sides[1]
        own = self.areas[:, None]
        if overlap == "smaller":
            whole = np.minimum(own, others.areas)
        else:
            whole = own + others.areas
            whole -= shared
        shared /= whole
        return shared

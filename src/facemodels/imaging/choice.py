"""Which face of an image is meant, where a detector finds several."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Choice = Literal["centre", "largest", "best"]


def chosen(boxes: NDArray[np.floating[Any]], width: int, height: int, choose: Choice) -> int:
    """The row of the face that is meant; of equals the first one.

    Args:
        boxes: (K, 4), K >= 1, x0 y0 x1 y1 in pixels of the image, edges frame, best face first.
        width: of the image, pixels.
        height: of the image, pixels.
        choose: the face nearest to the middle of the image, the largest by area, or the best.
    """
    if choose == "best":
        return 0
    corners = boxes.astype(np.float64)
    sides = corners[:, 2:] - corners[:, :2]
    if choose == "largest":
        return int(np.argmax(sides.prod(axis=1)))
    offsets = corners[:, :2] + sides / 2 - np.array([width, height]) / 2
    return int(np.argmin((offsets**2).sum(axis=1)))

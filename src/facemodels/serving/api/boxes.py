"""Boxes that a client gives: near its image, and with an area."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemodels.serving.http.errors import RequestError

_REACH = 2  # how far a box may reach beyond an image, in units of the image's longer side


def check(boxes: NDArray[np.floating[Any]], sizes: NDArray[np.int_]) -> None:
    """Raise unless every box is one of a face in its image.

    Args:
        boxes: (N, 4), x0 y0 x1 y1 in pixels; finite.
        sizes: (N, 2), width and height of each image, or (1, 2) for all.

    Raises:
        RequestError: 400. A box may reach beyond its image, but not to where numbers end.
    """
    longest = sizes.max(axis=1, keepdims=True)
    near = (boxes >= -_REACH * longest) & (boxes <= (_REACH + 1) * longest)
    if not near.all() or (boxes[:, 2:] <= boxes[:, :2]).any():
        raise RequestError(
            400, "wrong_box", "A box is x0,y0,x1,y1 in pixels, near its image and with an area."
        )

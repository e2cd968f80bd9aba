"""The boxes that a client gives: each is near its image and has an area."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemodels.serving.api.points import NUMBER
from facemodels.serving.http.errors import RequestError

_MARGIN = 2  # how far a box may go beyond its image, in lengths of the image's longer side
_NUMBER = re.compile(NUMBER, re.ASCII)


def check(boxes: NDArray[np.floating[Any]], sizes: NDArray[np.int_]) -> None:
    """Raise unless every box can hold a face of its image.

    A box may go beyond its image, but not so far that float32 loses the pixel.

    Args:
        boxes: (N, 4), x0 y0 x1 y1 in pixels; finite.
        sizes: (N, 2), the width and height of each image in pixels, or (1, 2) for all of them.

    Raises:
        RequestError: 400.
    """
    longest = sizes.max(axis=1, keepdims=True)
    near = (boxes >= -_MARGIN * longest) & (boxes <= (_MARGIN + 1) * longest)
    if not near.all() or (boxes[:, 2:] <= boxes[:, :2]).any():
        raise RequestError(
            400, "wrong_box", "A box is x0,y0,x1,y1 in pixels, near its image and with an area."
        )


def of_query(query: Mapping[str, str], size: tuple[int, int]) -> list[float]:
    """The face's box in an image, x0 y0 x1 y1 in pixels; the whole image if the query has none.

    Args:
        query: of the request.
        size: width and height of the image in pixels.

    Raises:
        RequestError: 400.
    """
    text = query.get("box")
    width, height = size
    if text is None:
        return [0.0, 0.0, float(width), float(height)]
    parts = text.split(",", 4)
    if len(parts) != 4 or not all(map(_NUMBER.fullmatch, parts)):
        raise RequestError(400, "wrong_box", "box is x0,y0,x1,y1 in pixels.")
    box = [float(part) for part in parts]
    check(np.array([box]), np.array([[width, height]]))
    return box

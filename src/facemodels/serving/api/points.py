"""The five points of each face that a client gives with a photo, so that the server aligns it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facemodels.serving.http.errors import RequestError

POINTS = 5  # eye, eye, nose, corner of the mouth, corner of the mouth
NUMBER = r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?"
_NUMBER = re.compile(NUMBER, re.ASCII)
_MARGIN = 2  # how far a point may lie beyond its image, in lengths of the image's longer side
_LEAST_SPREAD = 1.0  # pixels between the outermost points


def read_points(text: str, sizes: Sequence[tuple[int, int]]) -> list[NDArray[np.float32]]:
    """Read the points of the faces of all images of a request.

    Args:
        text: x,y of five points, an image; images are separated by `;`. One face alone counts
            for every image, as the box of `landmarks` does.
        sizes: width and height of each image in pixels.

    Returns:
        float32 (5, 2) an image, in pixels, centres frame.

    Raises:
        RequestError: 400, if they are not five points near each image.
    """
    faces = text.split(";", len(sizes))
    if len(faces) == 1:
        faces *= len(sizes)
    if len(faces) != len(sizes):
        raise _wrong()
    return [_face(face, *size) for face, size in zip(faces, sizes, strict=True)]


def _face(text: str, width: int, height: int) -> NDArray[np.float32]:
    parts = text.split(",", 2 * POINTS)
    if len(parts) != 2 * POINTS or not all(map(_NUMBER.fullmatch, parts)):
        raise _wrong()
    found = np.array([float(part) for part in parts]).reshape(POINTS, 2)
    longest = max(width, height)
    near = (found >= -_MARGIN * longest) & (found <= (_MARGIN + 1) * longest)
    if not near.all() or np.ptp(found, axis=0).max() < _LEAST_SPREAD:
        raise _wrong()
    return found.astype(np.float32)


def _wrong() -> RequestError:
    return RequestError(
        400, "wrong_points",
        "points are x,y of the eyes, the nose and the corners of the mouth in pixels, ten "
        "numbers an image near it; images are separated by ;.",
    )  # fmt: skip

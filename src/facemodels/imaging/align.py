"""Similarity transforms: a face is turned, scaled and shifted so that its points lie as wished.

Points are in the centres frame, which `facemodels.imaging` explains. Five points stand for a
face: the left eye of the image, the right eye, the nose, the left and the right corner of the
mouth.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from facemodels.imaging.arrays import MAX_PIXELS, ImageError, as_rgb

FIVE_POINTS = 5
_IBUG_EYES = (slice(36, 42), slice(42, 48))  # of 68 points
_IBUG_SINGLE = [30, 48, 54]  # tip of the nose, corners of the mouth
_RIM = 2  # pixels around the part of the image that a warp reads


def five_points(points: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """The five points of faces with 68 points in iBUG's order: (..., 68, 2) to (..., 5, 2).

    An eye is the mean of its six points.
    """
    eyes = [points[..., part, :].mean(axis=-2, keepdims=True) for part in _IBUG_EYES]
    return np.concatenate([*eyes, points[..., _IBUG_SINGLE, :]], axis=-2).astype(np.float32)


def similarity(source: ArrayLike, target: ArrayLike) -> NDArray[np.float64]:
    """The rotation, scale and shift that bring points nearest to others, by least squares.

    The solution of Umeyama, "Least-squares estimation of transformation parameters between
    two point patterns", IEEE TPAMI 13(4), 1991, for two dimensions: with points as complex
    numbers it is a straight line's fit. A mirror image is never made.

    Args:
        source: (K, 2), the points of an image.
        target: (K, 2), where they are to be.

    Returns:
        float64 (2, 3): target = matrix[:, :2] @ source + matrix[:, 2].

    Raises:
        ImageError: fewer than two points, a point that is not finite, or all at one place.
    """
    one, other = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if one.ndim != 2 or one.shape != other.shape or one.shape[1] != 2 or len(one) < 2:
        raise ImageError(f"points of shapes {one.shape} and {other.shape} do not fit")
    if not np.isfinite(one).all():
        raise ImageError("a point of the face is not finite")
    start, end = (x[:, 0] + 1j * x[:, 1] for x in (one, other))
    middle, goal = start.mean(), end.mean()
    centred = start - middle
    spread = float((centred * centred.conj()).sum().real)
    if spread <= 0 or not math.isfinite(spread):
        raise ImageError("the points of the face are all at one place")
    turn = (centred.conj() * (end - goal)).sum() / spread
    shift = goal - turn * middle
    return np.array(
        [[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]], np.float64
    )


def warp(image: NDArray[np.uint8], matrix: NDArray[np.float64], size: int) -> NDArray[np.uint8]:
    """Draw an image through a similarity transform: uint8 (size, size, 3), black outside of it.

    Bilinear. Where the face becomes less than half as large, it is first reduced by a whole
    number (means of blocks), so that no pixel is passed over.

    Args:
        image: uint8 (H, W, 3).
        matrix: float64 (2, 3), such as `similarity` returns.
        size: side of the result in pixels.

    Raises:
        ImageError: `image` is no image, or the transform makes it infinitely small.
    """
    rgb = as_rgb(image)
    if size < 1 or size * size > MAX_PIXELS:
        raise ImageError(f"cannot make a picture of {size}x{size}")
    turn = complex(matrix[0, 0], matrix[1, 0])
    if turn == 0 or not math.isfinite(abs(1 / turn)):
        raise ImageError("the face has no size")
    # In the edges frame: source = back * target + shift, as complex numbers.
    back = 1 / turn
    half = 0.5 + 0.5j
    shift = half - back * (half + complex(matrix[0, 2], matrix[1, 2]))
    left, top, right, bottom = _reach(back, shift, size, rgb.shape[1], rgb.shape[0])
    if left >= right or top >= bottom:
        return np.zeros((size, size, 3), np.uint8)
    part = Image.fromarray(np.ascontiguousarray(rgb[top:bottom, left:right]))
    factor = max(1, math.floor(abs(back)))
    if factor > 1:
        part = part.reduce(min(factor, max(part.size)))
    back /= factor
    shift = (shift - complex(left, top)) / factor
    coefficients = (back.real, -back.imag, shift.real, back.imag, back.real, shift.imag)
    drawn = part.transform(
        (size, size), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR
    )
    return np.array(drawn, dtype=np.uint8)


def _reach(
    back: complex, shift: complex, size: int, width: int, height: int
) -> tuple[int, int, int, int]:
    """The part of the image, in whole pixels, that the result is drawn from."""
    corners = [back * complex(x, y) + shift for x in (0, size) for y in (0, size)]
    rim = _RIM * (1 + abs(back))
    x0, x1 = min(c.real for c in corners) - rim, max(c.real for c in corners) + rim
    y0, y1 = min(c.imag for c in corners) - rim, max(c.imag for c in corners) + rim
    if not all(map(math.isfinite, (x0, x1, y0, y1))):
        raise ImageError("the points of the face lie too far away")
    return (
        max(0, math.floor(x0)), max(0, math.floor(y0)),
        min(width, math.ceil(x1)), min(height, math.ceil(y1)),
    )  # fmt: skip

"""Resize, letterbox and crop, by the same code in training and in serving.

Pillow alone resizes. Resizing is bilinear over the whole area that a new pixel covers
(antialiased when shrinking), so a served face looks like the faces that the model was
trained on. Boxes are in the edges frame; `facemodels.imaging` explains it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facemodels.imaging.arrays import MAX_PIXELS, ImageError, as_rgb

LETTERBOX_FILL = 114  # the grey that YOLO is trained with


def resize(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Resize to uint8 (height, width, 3), bilinear, antialiased when shrinking.

    Raises:
        ImageError: `image` is no image, or the size is not positive or over `MAX_PIXELS`.
    """
    rgb = as_rgb(image)
    _check_target(width, height)
    if rgb.shape[:2] == (height, width):
        return rgb.copy()
    return _from_pillow(Image.fromarray(rgb).resize((width, height), Image.Resampling.BILINEAR))


def letterbox(
    image: NDArray[np.uint8], size: int, fill: int = LETTERBOX_FILL
) -> tuple[NDArray[np.uint8], float, float, float]:
    """Fit an image into a square, keeping its shape, centred between grey bars.

    Args:
        image: uint8 (H, W, 3).
        size: side of the square in pixels.
        fill: value of the bars, 0 to 255.

    Returns:
        The square uint8 (size, size, 3), and `scale`, `pad_x` and `pad_y`: x of the image is
        at x * scale + pad_x of the square (edges frame). The pads are whole numbers.

    Raises:
        ImageError: `image` is no image, or `size` is not positive.
    """
    rgb = as_rgb(image)
    _check_target(size, size)
    height, width = rgb.shape[:2]
    scale = size / max(width, height)
    new_width, new_height = (max(1, round(side * scale)) for side in (width, height))
    pad_x, pad_y = (size - new_width) // 2, (size - new_height) // 2
    square = np.full((size, size, 3), fill, np.uint8)
    square[pad_y : pad_y + new_height, pad_x : pad_x + new_width] = resize(
        rgb, new_width, new_height
    )
    return square, scale, float(pad_x), float(pad_y)


def unletterbox_boxes(
    boxes: NDArray[np.floating[Any]], scale: float, pad_x: float, pad_y: float
) -> NDArray[np.float32]:
    """Map boxes of a letterboxed square back onto the image: float32 (K, 4), edges frame.

    The boxes are not clipped, because only the caller knows the image's size.
    """
    pads = np.array([pad_x, pad_y, pad_x, pad_y], np.float64)
    return ((boxes.reshape(-1, 4) - pads) / scale).astype(np.float32)


def crop(
    image: NDArray[np.uint8],
    box: Sequence[float] | NDArray[np.floating[Any]],
    size: int,
) -> NDArray[np.uint8]:
    """Cut a box out and resize it to uint8 (size, size, 3); black outside of the image.

    A box that is not square is stretched.

    Args:
        image: uint8 (H, W, 3).
        box: x0 y0 x1 y1 in pixels, edges frame; may have fractions and may reach outside.
        size: side of the result in pixels.

    Raises:
        ImageError: the box is not finite, has no area, or covers more than `MAX_PIXELS`.
    """
    rgb = as_rgb(image)
    _check_target(size, size)
    x0, y0, x1, y1 = (float(value) for value in box)
    if not all(map(math.isfinite, (x0, y0, x1, y1))) or x1 <= x0 or y1 <= y0:
        raise ImageError(f"box {x0:g} {y0:g} {x1:g} {y1:g} has no area")
    left, top, right, bottom = math.floor(x0), math.floor(y0), math.ceil(x1), math.ceil(y1)
    if (right - left) * (bottom - top) > MAX_PIXELS:
        raise ImageError(f"box {x0:g} {y0:g} {x1:g} {y1:g} covers over {MAX_PIXELS} pixels")
    canvas = _cut(rgb, left, top, right, bottom)
    inner = (x0 - left, y0 - top, x1 - left, y1 - top)
    return _from_pillow(
        Image.fromarray(canvas).resize((size, size), Image.Resampling.BILINEAR, box=inner)
    )


def _cut(rgb: NDArray[np.uint8], left: int, top: int, right: int, bottom: int) -> NDArray[np.uint8]:
    """The pixels of a whole-numbered box, black outside of the image."""
    height, width = rgb.shape[:2]
    canvas = np.zeros((bottom - top, right - left, 3), np.uint8)
    x0, x1 = max(left, 0), min(right, width)
    y0, y1 = max(top, 0), min(bottom, height)
    if x0 < x1 and y0 < y1:
        canvas[y0 - top : y1 - top, x0 - left : x1 - left] = rgb[y0:y1, x0:x1]
    return canvas


def _from_pillow(image: Image.Image) -> NDArray[np.uint8]:
    return np.array(image, dtype=np.uint8)  # a copy: Pillow's own buffer is read-only


def _check_target(width: int, height: int) -> None:
    if width < 1 or height < 1 or width * height > MAX_PIXELS:
        raise ImageError(f"cannot make a picture of {width}x{height}")

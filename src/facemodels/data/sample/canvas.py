"""The square texture that a face is painted on, and the brushes.

Lengths are in *face units*: the origin is between nose and eyes, x points to the image's
right, y down, and a head is about 1.6 wide and 2.2 high. The canvas covers [-EXTENT, EXTENT]
on both axes. `X` is a row and `Y` a column, so that functions of x or of y alone are computed
on vectors and only their product on the whole plane.

All arrays are float32. NumPy 2 promotes a float32 array that meets a `np.float64` scalar, so
scalars here are Python floats.
"""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float32]
Window = tuple[slice, slice]

RESOLUTION = 176  # pixels on each side
EXTENT = 1.55  # face units from the centre to an edge
PIXELS_PER_UNIT = (RESOLUTION - 1) / (2 * EXTENT)
_SUBPIXEL_BITS = 4

X: Array = np.linspace(-EXTENT, EXTENT, RESOLUTION, dtype=np.float32)[None, :]
Y: Array = X.T.copy()
ABS_X: Array = np.abs(X)


def f32(values: ArrayLike) -> Array:
    """`values` as a float32 array."""
    return np.asarray(values, dtype=np.float32)


def to_pixels(units: Array) -> Array:
    """Convert face units to canvas pixels, with fractions."""
    return f32((units + EXTENT) * PIXELS_PER_UNIT)


def window(x0: float, x1: float, y0: float, y1: float) -> Window:
    """Rows and columns of the canvas that cover a rectangle in face units."""
    corners = to_pixels(f32([y0, y1, x0, x1]))
    low, high = np.floor(corners[::2]), np.ceil(corners[1::2]) + 1
    limits = np.clip([low, high], 0, RESOLUTION).astype(int)
    return slice(limits[0, 0], limits[1, 0]), slice(limits[0, 1], limits[1, 1])


def gaussian(offset: Array, sigma: float) -> Array:
    """exp(-(offset / sigma)² / 2), of any shape."""
    return f32(np.exp(-0.5 * np.square(offset * (1 / sigma))))


def bump(dx: Array, dy: Array, sigma_x: float, sigma_y: float) -> Array:
    """A two-dimensional Gaussian of height 1; a row `dx` and a column `dy` give a plane."""
    return f32(gaussian(dx, sigma_x) * gaussian(dy, sigma_y))


def soft_step(distance: Array, width: float) -> Array:
    """The logistic function with scale `width`: near 0 for negative `distance`, near 1 above."""
    return f32(1 / (1 + np.exp(np.clip(distance * (-1 / width), -20, 20))))


def mix(base: Array, colour: Array, mask: Array) -> Array:
    """Blend `colour` (broadcastable to `base`) over `base` (H, W, 3) by `mask` (H, W) in 0..1."""
    return f32(base + (colour - base) * mask[..., None])


def blur(image: Array, sigma_x: float, sigma_y: float = 0.0) -> Array:
    """Apply a Gaussian blur. Sigmas are in pixels; if `sigma_y` is 0, it equals `sigma_x`."""
    return cast(Array, cv2.GaussianBlur(image, (0, 0), sigmaX=sigma_x, sigmaY=sigma_y))


def noise(rng: np.random.Generator, size: int, cells: int) -> Array:
    """Smooth noise (size, size) of about unit variance, with `cells` bumps along each side."""
    grid = rng.standard_normal((cells, cells), dtype=np.float32)
    return cast(Array, cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC))


def sample(plane: Array, x: Array, y: Array) -> Array:
    """Interpolate `plane` bilinearly at face units `x`, `y` (H, W); outside, its edge repeats."""
    return cast(
        Array,
        cv2.remap(
            plane,
            to_pixels(x),
            to_pixels(y),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        ),
    )


def _fixed_point(points: Array) -> NDArray[np.int32]:
    return np.round(to_pixels(points) * (1 << _SUBPIXEL_BITS)).astype(np.int32)


def polygon(points: Array, softness: float = 0.6) -> Array:
    """A mask in 0..1 of a filled polygon (N, 2) in face units; `softness` is in pixels."""
    mask = np.zeros((RESOLUTION, RESOLUTION), np.uint8)
    cv2.fillPoly(mask, [_fixed_point(points)], (255,), cv2.LINE_AA, _SUBPIXEL_BITS)
    return blur(f32(mask * np.float32(1 / 255)), softness)


def stroke(points: Array, thickness: int, softness: float) -> Array:
    """A mask in 0..1 of an open line through points (N, 2); widths are in pixels."""
    mask = np.zeros((RESOLUTION, RESOLUTION), np.uint8)
    fixed = [_fixed_point(points)]
    cv2.polylines(mask, fixed, False, (255,), thickness, cv2.LINE_AA, _SUBPIXEL_BITS)
    return blur(f32(mask * np.float32(1 / 255)), softness)

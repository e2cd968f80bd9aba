"""Faces with 68 points: what the readers of landmark datasets have in common.

Points are in the centres frame of `facemodels.imaging`: (0, 0) is the centre of the first
pixel. Their order is iBUG's: jaw 0-16, brows 17-26, nose 27-35, eyes 36-47, mouth 48-67.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facemodels.data.problems import BadAnnotationError

POINTS = 68


@dataclass(frozen=True, eq=False)
class PointSet:
    """An image and one face in it.

    Attributes:
        path: the image's file.
        points: float32 (68, 2), x y in pixels, centres frame.
        box: float32 (4,), x0 y0 x1 y1 in pixels, edges frame; None where none is annotated.
    """

    path: Path
    points: NDArray[np.float32]
    box: NDArray[np.float32] | None


def parse_points(rows: list[list[str]]) -> NDArray[np.float32]:
    """Float32 (68, 2) from the texts of the numbers.

    Raises:
        BadAnnotationError: not 68 rows of two finite numbers, or all on one row or column.
    """
    if len(rows) != POINTS or any(len(row) != 2 for row in rows):
        raise BadAnnotationError(f"not {POINTS} lines of x and y")
    points = parse_coordinates(value for row in rows for value in row).reshape(POINTS, 2)
    if np.any(np.ptp(points, axis=0) <= 0):
        raise BadAnnotationError("its points enclose no area")
    return points


def parse_coordinates(texts: Iterable[str]) -> NDArray[np.float32]:
    """Float32 (N,) from N texts.

    Raises:
        BadAnnotationError: a text is no number, or a number is not finite or far too large.
    """
    try:
        values = np.array([float(text) for text in texts], np.float64)
    except ValueError:
        raise BadAnnotationError("a coordinate is not a number") from None
    # No image is a million pixels wide; larger numbers would only overflow later.
    if not np.all(np.abs(values) < 1e6):
        raise BadAnnotationError("a coordinate is not finite")
    return values.astype(np.float32)

"""Images with face boxes, checked: what the readers of detection datasets have in common.

Boxes are x0 y0 x1 y1 in pixels, edges frame (see `facemodels.imaging`). An image with a box
that cannot be understood is left out as a whole, because a face without its box would teach a
detector that a face is background.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facemodels.data.problems import BadAnnotationError, Problem
from facemodels.data.real.files import picture_size
from facemodels.errors import DataError

OVERRUN = 2.0  # pixels outside of the image that are rounding, and not worth a count
_LEAST_INSIDE = 0.5  # of a box's area; less means that the box was drawn on another image
CLIPPED = "boxes cut by the edge of the picture"
REPEATED = "boxes written twice"
EMPTY = "boxes without area"

Box = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """An image and its faces.

    Attributes:
        path: the image's file.
        boxes: float32 (K, 4), x0 y0 x1 y1 in pixels, edges frame; K may be 0.
        mended: what was changed in its boxes, one entry a box: `CLIPPED`, `REPEATED`, `EMPTY`.
        groups: int8 (K,), number of each face's group or NO_GROUP; None where the data has none.
    """

    path: Path
    boxes: NDArray[np.float32]
    mended: tuple[str, ...] = ()
    groups: NDArray[np.int8] | None = None


def annotated(path: Path, boxes: list[Box]) -> AnnotatedImage:
    """Check boxes against the image at `path`, and mend what can be mended.

    A box that the image's edge cuts is clipped to it, one that is written twice counts once (a
    perfect detector could find it once only), and one without width or height is left out.

    Raises:
        BadAnnotationError: the image cannot be read; or a box is not finite, is turned inside
            out, or has less than half of its area in the image.
    """
    size = picture_size(path)
    kept: dict[Box, None] = {}
    mended: list[str] = []
    for box in boxes:
        whole = _checked(box)
        if whole is None:
            mended.append(EMPTY)
        elif (inside := _clipped(whole, *size)) in kept:
            mended.append(REPEATED)
        else:
            kept[inside] = None
            far = max(-whole[0], -whole[1], whole[2] - size[0], whole[3] - size[1])
            mended += [CLIPPED] if far > OVERRUN else []
    clipped = np.array(list(kept), np.float32).reshape(-1, 4)
    if np.any(clipped[:, 2:] <= clipped[:, :2]):  # an area that float32 cannot hold
        raise BadAnnotationError("a box has no area")
    return AnnotatedImage(path, clipped, tuple(mended))


def _checked(box: Box) -> Box | None:
    """The box, or None if it has no width or no height."""
    x0, y0, x1, y1 = box
    if not all(map(math.isfinite, box)):
        raise BadAnnotationError(f"{_shown(box)} is not finite")
    if x1 < x0 or y1 < y0:
        raise BadAnnotationError(f"{_shown(box)} has no area: it is turned inside out")
    return None if x1 == x0 or y1 == y0 else box


def _clipped(box: Box, width: int, height: int) -> Box:
    x0, y0, x1, y1 = box
    inside = (max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height)))
    if inside[2] <= inside[0] or inside[3] <= inside[1]:
        raise BadAnnotationError(f"{_shown(box)} has no area in {width}x{height}")
    share = (inside[2] - inside[0]) / (x1 - x0) * ((inside[3] - inside[1]) / (y1 - y0))
    if share < _LEAST_INSIDE:
        raise BadAnnotationError(f"{_shown(box)} lies outside of {width}x{height}")
    return inside


def _shown(box: Box) -> str:
    return "box {:g} {:g} {:g} {:g}".format(*box)


def turned(box: Box, upright: tuple[int, int], orientation: int) -> Box:
    """A box that was drawn on the stored pixels, in the upright image.

    Args:
        box: x0 y0 x1 y1 in pixels of the image as it is stored, edges frame.
        upright: width and height of the upright image.
        orientation: of EXIF, 5 to 8: those that exchange width and height.
    """
    width, height = upright
    x0, y0, x1, y1 = box
    if orientation in (6, 7):  # the stored rows are columns from the right
        y0, y1 = width - y1, width - y0
    if orientation in (7, 8):
        x0, x1 = height - x1, height - x0
    return y0, x0, y1, x1


def parse_box(texts: Iterable[str | None]) -> Box:
    """Four numbers from their texts.

    Raises:
        BadAnnotationError: a text is missing or is no number.
    """
    try:
        a, b, c, d = (float(text or "") for text in texts)
    except ValueError:
        raise BadAnnotationError("a box does not have four numbers") from None
    return a, b, c, d


def common_root(first: Path, second: Path) -> Path:
    """The dataset's root: the deepest folder that holds both paths."""
    return Path(os.path.commonpath([first.absolute(), second.absolute()]))


def in_order(
    images: list[AnnotatedImage], problems: list[Problem], source: Path
) -> tuple[list[AnnotatedImage], list[Problem]]:
    """Both lists sorted, so that nothing depends on the order of a folder.

    Raises:
        DataError: both are empty: `source` holds no annotation.
    """
    if not images and not problems:
        raise DataError(f"{source} holds no annotation.", "Point to the dataset's folder.")
    return sorted(images, key=lambda image: image.path.as_posix()), sorted(problems)

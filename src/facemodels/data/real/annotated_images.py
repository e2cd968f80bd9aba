"""Images with face boxes, checked: what the readers of detection datasets have in common.

Boxes are x0 y0 x1 y1 in pixels, edges frame (see `facemodels.imaging`). An image with one
unusable box is left out as a whole, because a face without its box would teach a detector
that a face is background.
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
from facemodels.errors import DataError
from facemodels.imaging import EXTENSIONS, ImageError, image_size

OVERRUN = 2.0  # pixels that a box may lie outside of its image; such boxes are clipped

Box = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """An image and its faces.

    Attributes:
        path: the image's file.
        boxes: float32 (K, 4), x0 y0 x1 y1 in pixels, edges frame; K may be 0.
    """

    path: Path
    boxes: NDArray[np.float32]


def annotated(path: Path, boxes: list[Box]) -> AnnotatedImage:
    """Check boxes against the image at `path` and clip small overruns.

    Raises:
        BadAnnotationError: the image cannot be read; or a box is not finite, has no area, or
            lies more than `OVERRUN` outside.
    """
    width, height = readable_size(path)
    clipped = np.zeros((len(boxes), 4), np.float32)
    for row, (x0, y0, x1, y1) in enumerate(boxes):
        shown = f"box {x0:g} {y0:g} {x1:g} {y1:g}"
        if not all(map(math.isfinite, (x0, y0, x1, y1))):
            raise BadAnnotationError(f"{shown} is not finite")
        if min(x0, y0) < -OVERRUN or x1 > width + OVERRUN or y1 > height + OVERRUN:
            raise BadAnnotationError(f"{shown} lies outside of {width}x{height}")
        inside = (max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height)))
        if inside[2] <= inside[0] or inside[3] <= inside[1]:
            raise BadAnnotationError(f"{shown} has no area in {width}x{height}")
        clipped[row] = inside
    if np.any(clipped[:, 2:] <= clipped[:, :2]):  # an area that float32 cannot hold
        raise BadAnnotationError("a box has no area")
    return AnnotatedImage(path, clipped)


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


def readable_size(path: Path) -> tuple[int, int]:
    """Width and height of an image in pixels.

    Raises:
        BadAnnotationError: the image cannot be read.
    """
    try:
        return image_size(path)
    except ImageError as error:
        raise BadAnnotationError(f"picture {path.name}: {error.reason}") from error


def images_by_stem(folder: Path) -> dict[str, Path]:
    """The images directly in a folder, by stem; see `files_by_stem`."""
    return files_by_stem(folder, EXTENSIONS)


def files_by_stem(folder: Path, extensions: Iterable[str]) -> dict[str, Path]:
    """Files directly in a folder by stem; of two with one stem the first by name.

    Raises:
        DataError: `folder` is no folder.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder.", "Point to the dataset's folder.")
    files = sorted((p for p in folder.iterdir() if p.suffix.lower() in extensions), reverse=True)
    return {path.stem: path for path in files}


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

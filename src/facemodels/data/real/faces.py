"""Cuts faces out of the images of a dataset, in parallel, in the crops that models ask for."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facemodels.data.dataset_kind import FaceFinder
from facemodels.data.problems import Problem
from facemodels.data.real.files import read_picture
from facemodels.data.real.loading import Progress, in_order
from facemodels.errors import InputError
from facemodels.imaging import Crop, ImageError, crop_named

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Cutting:
    """How the faces of a dataset are cut out.

    Attributes:
        crops: names of the crops; each face is cut once for each.
        fraction: share of the shorter side that a centred square has, above 0 to 1; it is
            the face where there is no finder.
        finder: finds the face of each image; None takes the middle of the image.
    """

    crops: tuple[str, ...]
    fraction: float
    finder: FaceFinder | None = None


@dataclass(frozen=True)
class CutFaces:
    """The faces of the images that could be read.

    Attributes:
        crops: uint8 (N, S, S, 3), RGB, by name of the crop; black where no face was found.
        found: bool (N,), whether the face was found.
        kept: the index of the file of each row.
        problems: the images that could not be read, sorted.
    """

    crops: dict[str, Image]
    found: NDArray[np.bool_]
    kept: list[int]
    problems: list[Problem]


def cut_faces(
    paths: Sequence[Path], cutting: Cutting, *, root: Path, workers: int, progress: Progress
) -> CutFaces:
    """Read images and cut their faces out, in the order of the paths.

    Raises:
        DataError: a worker died.
        InputError: there is no crop of a name, or one needs points that the finder does not give.
    """
    crops = [crop_named(name) for name in cutting.crops]
    images = {c.name: np.zeros((len(paths), c.size, c.size, 3), np.uint8) for c in crops}
    found = np.zeros(len(paths), np.bool_)
    kept: list[int] = []
    problems: list[Problem] = []
    with closing(in_order(partial(_cut, cutting), paths, workers)) as results:
        for index, result in enumerate(results):
            if isinstance(result, str):
                problems.append(Problem.at(paths[index], root, result))
            else:
                row = len(kept)
                kept.append(index)
                found[row] = result is not None
                for one, cut in zip(crops, result or (), strict=False):
                    images[one.name][row] = cut
            if progress is not None:
                progress(1)
    rows = len(kept)
    return CutFaces({n: a[:rows] for n, a in images.items()}, found[:rows], kept, sorted(problems))


def _cut(cutting: Cutting, path: Path) -> list[Image] | str | None:
    """The crops of one image's face, None if it is not found, or why the image is unusable."""
    crops = [crop_named(name) for name in cutting.crops]
    try:
        image = read_picture(path)
        if cutting.finder is None:
            return [_middle(one, cutting.fraction).cut(image) for one in crops]
        face = cutting.finder(image)
        if face is None:
            return None
        if face.points is None:
            _require_boxes_do(crops)
        return [one.cut(image, face.points, face.box) for one in crops]
    except ImageError as error:
        return error.reason


def _middle(wanted: Crop, fraction: float) -> Crop:
    return Crop(wanted.name, "centre", wanted.size, fraction=fraction)


def _require_boxes_do(crops: Sequence[Crop]) -> None:
    """Refuse to take a whole photo for an aligned face."""
    for one in crops:
        if one.kind == "points":
            raise InputError(
                f"the crop {one.name} needs five points, and the detector gives boxes alone.",
                "Name a detector with points in conf/data/, such as detection-mtcnn.",
            )

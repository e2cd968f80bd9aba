"""Cuts faces out of the images of a dataset, in parallel, in the crops that models ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facemodels.data.dataset_kind import FaceFinder
from facemodels.data.executors import Workers, executor_of
from facemodels.data.image_places import ImageRows
from facemodels.data.problems import Problem
from facemodels.data.real.files import read_picture
from facemodels.data.real.loading import Progress
from facemodels.data.splits import Images
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

    @property
    def sizes(self) -> dict[str, int]:
        """The side of each crop in pixels, by its name and in their order."""
        return {name: crop_named(name).size for name in self.crops}


@dataclass(frozen=True)
class CutFaces:
    """The faces of the images that could be read.

    Attributes:
        crops: uint8 (N, S, S, 3), RGB, by name of the crop; black where no face was found, if
            such images are there at all.
        found: bool (N,), whether the face was found.
        kept: the index of the file of each row.
        problems: the images that could not be read, sorted.
    """

    crops: dict[str, Images]
    found: NDArray[np.bool_]
    kept: list[int]
    problems: list[Problem]


def cut_faces(
    paths: Sequence[Path],
    cutting: Cutting,
    rows: Mapping[str, ImageRows],
    *,
    with_missing: bool,
    root: Path,
    workers: Workers,
    progress: Progress,
) -> CutFaces:
    """Read images and cut their faces out, in the order of the paths.

    Args:
        paths: the images.
        cutting: how.
        rows: where the crops go, by their names.
        with_missing: whether an image without a face has rows too.
        root: folder of the dataset; paths are reported relative to it.
        workers: who decodes.
        progress: is called with the number of newly finished images.

    Raises:
        DataError: a worker died.
        InputError: there is no crop of a name, or one needs points that the finder does not give.
    """
    black = {name: np.zeros((size, size, 3), np.uint8) for name, size in cutting.sizes.items()}
    found: list[bool] = []
    kept: list[int] = []
    problems: list[Problem] = []
    work = partial(_cut, cutting)
    with closing(executor_of(workers).in_order(work, paths, len(paths))) as results:
        for index, result in enumerate(results):
            if isinstance(result, str):
                problems.append(Problem.at(paths[index], root, result))
            elif result is not None or with_missing:
                kept.append(index)
                found.append(result is not None)
                cuts = black.values() if result is None else result
                for one, cut in zip(rows.values(), cuts, strict=True):
                    one.append(cut)
            if progress is not None:
                progress(1)
    crops = {name: one.close() for name, one in rows.items()}
    return CutFaces(crops, np.array(found, np.bool_), kept, sorted(problems))


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

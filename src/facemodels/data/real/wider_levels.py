"""The faces of WIDER FACE's validation set with its levels easy, medium and hard.

The levels are lists of faces that the data set's authors publish with their evaluation tools
(`eval_tools/ground_truth`, four MATLAB files): `wider_face_val.mat` names the events
(`event_list`), their images (`file_list`) and the boxes of all faces (`face_bbx_list`: x, y,
width and height), faces that are marked invalid among them; `wider_easy_val.mat`,
`wider_medium_val.mat` and `wider_hard_val.mat` list the rows of the faces of a level, counted
from 1 (`gt_list`). All lists have one entry an event, and in it one an image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemodels.data.problems import BadAnnotationError, Problem
from facemodels.data.real.annotated_images import AnnotatedImage
from facemodels.data.real.files import PictureNames, picture_size
from facemodels.data.splits import WIDER_LEVELS
from facemodels.errors import DataError

FACES = "wider_face_val.mat"
_REMEDY = "Point to eval_tools/ground_truth of WIDER FACE, as its authors publish it."


@dataclass(frozen=True, eq=False)
class LevelledImage:
    """The faces of one image, and which of them belong to each level.

    Attributes:
        name: path of the image below the images folder, such as `0--Parade/0_Parade_1.jpg`.
        boxes: float32 (K, 4), x0 y0 x1 y1 in pixels of the image; K may be 0.
        levels: by `WIDER_LEVELS`, bool (K,).
    """

    name: str
    boxes: NDArray[np.float32]
    levels: Mapping[str, NDArray[np.bool_]]


def read_levels(folder: Path) -> list[LevelledImage]:
    """Read the four files in `folder`; images in the order of the files.

    Raises:
        DataError: a file is missing or is no MATLAB file of this form; a row of a level is no
            face of its image; or the name of an image leads out of the folder of images.
    """
    faces = _loaded(folder / FACES, "event_list", "file_list", "face_bbx_list")
    rows = {
        level: _loaded(folder / f"wider_{level}_val.mat", "gt_list")["gt_list"]
        for level in WIDER_LEVELS
    }
    try:
        return [
            _image(name, boxes, {level: rows[level][place][number] for level in WIDER_LEVELS})
            for place, (event, names, of_event) in enumerate(zip(*faces.values(), strict=True))
            for number, (name, boxes) in enumerate(
                zip([f"{event}/{file}.jpg" for file in names], of_event, strict=True)
            )
        ]
    except (IndexError, TypeError, ValueError) as error:
        raise DataError(f"{folder}: the lists do not fit each other: {error}.", _REMEDY) from error


def annotated_by_level(lists: Path, images: Path) -> tuple[list[AnnotatedImage], list[Problem]]:
    """The validation set with the group of each face, as `data.splits.LEVEL_GROUPS` names them.

    All faces stay, also those that no level has: what is found there is not false. They are clipped
    to the image, since the lists of a level count rows and none may be lost.

    Args:
        lists: the folder of the four files.
        images: the folder of the validation set's images.

    Raises:
        DataError: see `read_levels`.
    """
    names = PictureNames(images)
    read: list[AnnotatedImage] = []
    problems: list[Problem] = []
    for image in read_levels(lists):
        try:
            path = names.find(image.name)
            width, height = picture_size(path)
        except BadAnnotationError as error:
            problems.append(Problem(image.name, str(error)))
            continue
        edges = np.array([width, height, width, height], np.float32)
        boxes = np.clip(image.boxes, 0, edges).astype(np.float32)
        flags = np.stack([image.levels[level] for level in WIDER_LEVELS])
        groups = (2 ** np.arange(len(WIDER_LEVELS)) @ flags).astype(np.int8)
        read.append(AnnotatedImage(path, boxes, groups=groups))
    return read, problems


def _loaded(path: Path, *names: str) -> dict[str, list[Any]]:
    """Lists of a MATLAB file by name: texts, arrays, and lists of those."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    if not path.is_file():
        raise DataError(f"{path} is not there.", _REMEDY)
    try:
        values = loadmat(path, variable_names=names)
        return {name: _cells(values[name]) for name in names}
    except (OSError, KeyError, ValueError, TypeError, MatReadError) as error:
        raise DataError(f"{path} is not a list of WIDER FACE: {error}.", _REMEDY) from error


def _cells(value: Any) -> Any:
    """A MATLAB cell array as a list; a text as a string; numbers as they are."""
    if value.dtype == object:
        return [_cells(cell) for cell in value.ravel()]
    if value.dtype.kind == "U":
        return str(value.item()) if value.size else ""
    return value


def _image(name: str, boxes: NDArray[Any], rows: Mapping[str, NDArray[Any]]) -> LevelledImage:
    if ".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute() or "\0" in name:
        raise ValueError(f"image {name[:80]!r} lies outside of the data set")
    corners = np.asarray(boxes, np.float32).reshape(-1, 4).copy()
    corners[:, 2:] += corners[:, :2]
    levels = {level: _flags(numbers, len(corners), name) for level, numbers in rows.items()}
    return LevelledImage(name, corners, levels)


def _flags(numbers: NDArray[Any], count: int, name: str) -> NDArray[np.bool_]:
    """Rows counted from 1 as flags, (count,)."""
    rows = np.asarray(numbers, np.int64).ravel()
    if len(rows) and not (rows.min() >= 1 and rows.max() <= count):
        raise ValueError(f"image {name[:80]!r} has {count} faces, and a level names row {rows}")
    flags = np.zeros(count, np.bool_)
    flags[rows - 1] = True
    return flags


def counted(images: Sequence[LevelledImage]) -> dict[str, list[NDArray[np.bool_]]]:
    """The flags of all images by level, as `facemodels.evaluate.wider` takes them."""
    return {level: [image.levels[level] for image in images] for level in WIDER_LEVELS}

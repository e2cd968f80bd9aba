"""Faces with 68 points to splits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from facemodels.data.problems import Problem, relative
from facemodels.data.readers.points import PointSet
from facemodels.data.real.dealing import check_shares, deal, no_groups
from facemodels.data.real.loading import Job, Progress, load
from facemodels.data.splits import LandmarkSplit


def landmark_splits(
    train: Sequence[PointSet],
    test: Sequence[PointSet],
    *,
    root: Path,
    image_size: int,
    val_share: float,
    seed: int,
    margin: float,
    test_sets: Sequence[Path] = (),
    workers: int = 1,
    progress: Progress = None,
) -> tuple[dict[str, LandmarkSplit], list[Problem]]:
    """Cut each face out as a square around its points; part of `train` becomes val.

    The square has the centre of the points' bounding box and its longer side, enlarged by
    `margin` times that side on each of the four sides. Points (centres frame) and boxes
    (edges frame) follow the crop: a point moves to (p + 0.5 - corner) * scale - 0.5.

    Args:
        train: faces for train and val. Faces of one photograph go to the same split.
        test: faces for test.
        root: the dataset's folder; paths are hashed and reported relative to it.
        image_size: side of the crops in pixels.
        val_share: expected share of `train` that becomes val, 0 to 1.
        seed: changes which faces go where.
        test_sets: folders (or files) of the test faces; each becomes a group by its place
            in this list. One set needs no group.
        margin: see above; 0.25 keeps a quarter of the side around the points.
        workers: processes that decode.
        progress: called with the number of newly finished faces.

    Returns:
        The splits, whose boxes are the annotated ones, else the points' bounding boxes; and
        the problems.

    Raises:
        DataError: a share outside 0 to 1, or a worker died.
    """
    check_shares(val_share, 0.0)
    homes = {
        "train": [s for s in train if deal(_photo(s, root), seed, val_share, 0.0) == "train"],
        "val": [s for s in train if deal(_photo(s, root), seed, val_share, 0.0) == "val"],
        "test": list(test),
    }
    splits: dict[str, LandmarkSplit] = {}
    problems: list[Problem] = []
    for name, faces in homes.items():
        faces.sort(key=lambda s: (relative(s.path, root), s.points.tolist()))
        jobs = [Job(s.path, image_size, box=_square(s.points, margin)) for s in faces]
        loaded = load(jobs, root=root, image_size=image_size, workers=workers, progress=progress)
        problems += loaded.problems
        points = np.zeros((len(loaded.kept), 68, 2), np.float32)
        boxes = np.zeros((len(loaded.kept), 4), np.float32)
        for row, (index, place) in enumerate(zip(loaded.kept, loaded.place, strict=True)):
            face = faces[index]
            points[row] = place.edges(face.points + 0.5) - 0.5
            box = _bounding_box(face.points) if face.box is None else face.box
            boxes[row] = place.edges(box.reshape(2, 2)).reshape(4)
        splits[name] = LandmarkSplit(
            images=loaded.images,
            boxes=boxes,
            points=points,
            groups=_groups([faces[i] for i in loaded.kept], test_sets if name == "test" else ()),
        )
    return splits, sorted(problems)


def _groups(faces: Sequence[PointSet], test_sets: Sequence[Path]) -> NDArray[np.int8]:
    """The test set of each face, int8 (N,); NO_GROUP where there is only one."""
    if len(test_sets) < 2:
        return no_groups(len(faces))
    homes = [next(i for i, s in enumerate(test_sets) if s in face.path.parents) for face in faces]
    return np.array(homes, np.int8)


def _photo(face: PointSet, root: Path) -> str:
    """The photograph of a face: HELEN and AFW number the faces of one as `<photo>_1`, `_2`.

    Only a single digit is cut off: in LFPW `image_0001` and `image_0002` are two photographs.
    """
    path = PurePosixPath(relative(face.path, root))
    return str(path.parent / re.sub(r"_\d$", "", path.stem))


def _bounding_box(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bounding box float32 (4,), edges frame, of points (68, 2), centres frame."""
    return np.concatenate([points.min(axis=0), points.max(axis=0)]) + np.float32(0.5)


def _square(points: NDArray[np.float32], margin: float) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (float(value) for value in _bounding_box(points))
    half = max(x1 - x0, y1 - y0) * (0.5 + margin)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return x - half, y - half, x + half, y + half

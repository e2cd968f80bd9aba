"""Faces with 68 points to splits, and the base of the kinds that read them."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from facemodels.data.dataset_kind import (
    DatasetSplits,
    DealtSettings,
    LandmarkKind,
    SplitShares,
)
from facemodels.data.executors import Workers
from facemodels.data.image_places import IN_MEMORY, ImagePlace
from facemodels.data.problems import Problem, relative
from facemodels.data.real.dealing import check_shares, deal, no_groups
from facemodels.data.real.loading import Job, Progress, load
from facemodels.data.real.point_sets import PointSet
from facemodels.data.splits import LandmarkSplit
from facemodels.imaging import face_box, points_box
from facemodels.params import Count
from facemodels.progress import progress as show_progress


def _listed(value: object) -> object:
    """A single name as a list of one."""
    return [value] if isinstance(value, str) else value


class PointSettings(DealtSettings):
    """Sets of faces with 68 points, one or more to train on and to test on.

    Attributes:
        train: folders or files of the training sets below `source`; a single one needs no list.
        test: folders or files of the test sets; each is reported as a group of its own.
        image_size: side of the prepared images, which are square.
        margin: space on each side of the points, as a share of the side of their box.
        boxes: `points`: the box of a face by its points, as `imaging.face_boxes` draws it;
            `annotated`: the dataset's own, which have to reach from the hairline to the chin.
    """

    train: Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)]
    test: Annotated[list[str], Field(min_length=1)]
    image_size: Count = 224
    margin: Annotated[float, Field(ge=0)] = 0.25
    boxes: Literal["points", "annotated"] = "points"


class PointKind(LandmarkKind[PointSettings]):
    """Base of the kinds whose training set and test sets are paths below `source`."""

    settings = PointSettings

    @abstractmethod
    def read_points(self, path: Path) -> tuple[list[PointSet], list[Problem]]:
        """The faces of one set in order, and what was left out.

        Raises:
            DataError: `path` is missing or holds no face.
        """

    def read(
        self, settings: PointSettings, *, workers: Workers, place: ImagePlace = IN_MEMORY
    ) -> DatasetSplits[LandmarkSplit]:
        """Read all sets; the test sets become one split, in which each is a group."""
        root = Path(settings.source)
        train, problems = self._read_sets(root, settings.train)
        test, broken = self._read_sets(root, settings.test)
        problems += broken
        if settings.boxes == "points":
            train, test = ([replace(face, box=None) for face in faces] for faces in (train, test))
        with show_progress("read landmarks", len(train) + len(test)) as advance:
            splits, broken = landmark_splits(
                train,
                test,
                root=root,
                image_size=settings.image_size,
                val_share=settings.val_share,
                seed=settings.seed,
                margin=settings.margin,
                test_sets=[root / name for name in settings.test],
                workers=workers,
                place=place,
                progress=advance,
            )
        return DatasetSplits(
            splits,
            [*problems, *broken],
            groups=tuple(settings.test),
            allowed_broken=settings.allowed_broken,
        )

    def _read_sets(self, root: Path, names: Sequence[str]) -> tuple[list[PointSet], list[Problem]]:
        """The faces of several sets, one after the other, and what was left out."""
        sets = [self.read_points(root / name) for name in names]
        faces = [face for found, _ in sets for face in found]
        return faces, [problem for _, problems in sets for problem in problems]

    def settings_for(
        self, source: Path, train: str, test: str, shares: SplitShares
    ) -> PointSettings:
        """Settings that read two sets below `source`; all others are the defaults."""
        return PointSettings(
            reader=self.reader,
            source=str(source),
            train=[train],
            test=[test],
            val_share=shares.val,
        )


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
    workers: Workers = 1,
    place: ImagePlace = IN_MEMORY,
    progress: Progress = None,
) -> tuple[dict[str, LandmarkSplit], list[Problem]]:
    """Cut each face out as a square around its points, and deal part of `train` to val.

    The square has the centre of the points' bounding box and its longer side, enlarged by
    `margin` times that side on each of the four sides. Points (centres frame) and boxes
    (edges frame) follow the crop: a point moves to (p + 0.5 - corner) * scale - 0.5.

    Args:
        train: faces for train and val. Faces of one photograph go to the same split.
        test: faces for test.
        root: folder of the dataset; paths are hashed and reported relative to it.
        image_size: side of the crops in pixels.
        val_share: expected share of `train` that becomes val, 0 to 1.
        seed: changes which faces go to which split.
        margin: share of the side, 0 or more; 0.25 keeps a quarter of the side around the
            points.
        test_sets: folders (or files) of the test faces; each becomes a group, numbered by
            its index in this list. A single set gets no group.
        workers: who decodes.
        place: where the images go.
        progress: is called with the number of newly finished faces.

    Returns:
        The splits and the problems. Boxes are the annotated ones, or those that the points tell
        (`imaging.face_boxes`) where none is annotated.

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
        rows = place.rows(name, "images", most=len(jobs), size=image_size)
        loaded = load(jobs, rows, root=root, workers=workers, progress=progress)
        problems += loaded.problems
        points = np.zeros((len(loaded.kept), 68, 2), np.float32)
        boxes = np.zeros((len(loaded.kept), 4), np.float32)
        for row, (index, transform) in enumerate(zip(loaded.kept, loaded.transforms, strict=True)):
            face = faces[index]
            points[row] = transform.edges(face.points + 0.5) - 0.5
            box = face_box(face.points) if face.box is None else face.box
            boxes[row] = transform.edges(box.reshape(2, 2)).reshape(4)
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
    """The photograph of a face: HELEN and AFW name the faces of one `<photo>_1`, `<photo>_2`.

    Only a single digit is cut off, because LFPW's `image_0001` and `image_0002` are two
    photographs.
    """
    path = PurePosixPath(relative(face.path, root))
    return str(path.parent / re.sub(r"_\d$", "", path.stem))


def _square(points: NDArray[np.float32], margin: float) -> tuple[float, float, float, float]:
    """The square around the points that is cut out, x0 y0 x1 y1, edges frame."""
    x0, y0, x1, y1 = (float(value) for value in points_box(points))
    half = max(x1 - x0, y1 - y0) * (0.5 + margin)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return x - half, y - half, x + half, y + half

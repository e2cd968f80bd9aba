"""Detection from the lists of WIDER FACE. Source: the readme.txt of wider_face_split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Self

from pydantic import model_validator

from facemodels.data.dataset_kind import DatasetSplits, SplitShares
from facemodels.data.executors import Workers
from facemodels.data.image_places import IN_MEMORY, ImagePlace
from facemodels.data.problems import BadAnnotationError, Problem
from facemodels.data.real.annotated_images import (
    AnnotatedImage,
    Box,
    annotated,
    common_root,
    in_order,
    parse_box,
)
from facemodels.data.real.detection import BoxKind, BoxSettings, detection_splits
from facemodels.data.real.files import EXTENSIONS, PictureNames, read_text
from facemodels.data.real.wider_levels import annotated_by_level
from facemodels.data.splits import LEVEL_GROUPS, DetectionSplit
from facemodels.errors import DataError
from facemodels.progress import progress

_COLUMNS = 10  # x y w h blur expression illumination invalid occlusion pose
_INVALID = 7


class WiderSettings(BoxSettings):
    """A list of WIDER FACE, and the levels of its validation set where that is to be the test.

    Attributes:
        levels: folder of the authors' lists easy, medium and hard (`eval_tools/ground_truth`) below
            `source`. With it the validation set is the test split, whole; set `test_share` to 0.
        levelled_images: folder of the validation set's images below `source`.
    """

    levels: str = ""
    levelled_images: str = "WIDER_val/images"

    @model_validator(mode="after")
    def _one_test_split(self) -> Self:
        if self.levels and self.test_share:
            raise ValueError("levels bring the whole test split; set test_share to 0")
        return self


class WiderFaceKind(BoxKind):
    """A folder of images and one list of all their boxes."""

    settings = WiderSettings
    reader = "wider"
    layout = "`images/…` + `wider_face_*_bbx_gt.txt` (WIDER FACE)"
    precedence = 3

    def read_annotations(
        self, images: Path, annotations: Path
    ) -> tuple[list[AnnotatedImage], list[Problem]]:
        """Read WIDER FACE's `wider_face_*_bbx_gt.txt`.

        An entry is the image's path, the number of faces, and a line for each face: x y w h blur
        expression illumination invalid occlusion pose. An entry of 0 faces still has one line,
        of zeros. Boxes that are marked invalid are dropped. Further columns are passed over; four
        columns are boxes alone.

        Returns:
            Images sorted by path, and the entries that were left out.

        Raises:
            DataError: the folder or the file is missing, or the file has no entry.
        """
        names = PictureNames(images)
        try:
            lines = read_text(annotations, errors="replace").splitlines()
        except BadAnnotationError as error:
            raise DataError(f"{annotations} is {error}.", "Point to the list.") from error
        root = common_root(images, annotations.parent)
        read: list[AnnotatedImage] = []
        problems: list[Problem] = []
        for number, name, rows in _entries(lines):
            try:
                read.append(annotated(names.find(name), _boxes(rows)))
            except BadAnnotationError as error:
                problems.append(Problem.at(annotations, root, f"line {number}: {error}"))
        return in_order(read, problems, annotations)

    def read(
        self, settings: BoxSettings, *, workers: Workers, place: ImagePlace = IN_MEMORY
    ) -> DatasetSplits[DetectionSplit]:
        """Deal the list's images to splits; the test split may be the levelled validation set."""
        dealt = super().read(settings, workers=workers, place=place)
        if not isinstance(settings, WiderSettings) or not settings.levels:
            return dealt
        root = Path(settings.source)
        images, problems = annotated_by_level(
            root / settings.levels, root / settings.levelled_images
        )
        with progress("read levelled scenes", len(images)) as advance:
            splits, broken = detection_splits(
                images,
                root=root,
                image_size=settings.image_size,
                val_share=0,
                test_share=1,
                seed=settings.seed,
                workers=workers,
                place=place,
                progress=advance,
            )
        return replace(
            dealt,
            splits={**dealt.splits, "test": splits["test"]},
            problems=[*dealt.problems, *problems, *broken],
            groups=LEVEL_GROUPS,
        )

    def recognise(self, path: Path, shares: SplitShares) -> BoxSettings | None:
        """A folder with a list of boxes, also as unpacked; of several lists the first by name."""
        lists = sorted(path.glob("*bbx_gt.txt")) + sorted(path.glob("*/*bbx_gt.txt"))
        if not lists:
            return None
        subset = lists[0].name.split("_")[-3]  # wider_face_train_bbx_gt.txt
        unpacked = f"WIDER_{subset}/images"
        images = unpacked if (path / unpacked).is_dir() else "images"
        return self.settings_for(path, lists[0].relative_to(path).as_posix(), shares, images)


def _entries(lines: Sequence[str]) -> Iterator[tuple[int, str, list[str]]]:
    """Line number, image and face lines of each entry.

    An entry begins at the name of an image, so that a wrong count spoils one entry only.
    """
    named = (Path(line.strip()).suffix.lower() in EXTENSIONS for line in lines)
    starts = [index for index, begins in enumerate(named) if begins or index == 0]
    for start, end in pairwise([*starts, len(lines)]):
        yield (
            start + 1,
            lines[start].strip(),
            [row for row in lines[start + 1 : end] if row.strip()],
        )


def _boxes(rows: list[str]) -> list[Box]:
    count, *faces = rows or [""]
    if not (count.strip().isascii() and count.strip().isdigit()):
        raise BadAnnotationError("no number of faces after the picture's name")
    if int(count[:9]) == 0 and len(faces) <= 1:
        return []
    if len(faces) != int(count[:9]):
        raise BadAnnotationError(f"promises {count.strip()[:20]} faces, {len(faces)} lines follow")
    boxes: list[Box] = []
    for face in faces:
        columns = face.split()
        if len(columns) != 4 and len(columns) < _COLUMNS:
            raise BadAnnotationError(f"a face line has {len(columns)} columns, not 10 or 4")
        if len(columns) == 4 or columns[_INVALID] != "1":
            x, y, w, h = parse_box(columns[:4])
            boxes.append((x, y, x + w, y + h))
    return boxes


KINDS = (WiderFaceKind(),)

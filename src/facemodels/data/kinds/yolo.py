"""Detection from YOLO labels: one text file for each image.

Source: https://docs.ultralytics.com/datasets/detect/
"""

from __future__ import annotations

from pathlib import Path

from facemodels.data.dataset_kind import SplitShares
from facemodels.data.problems import BadAnnotationError, Problem
from facemodels.data.real.annotated_images import (
    AnnotatedImage,
    Box,
    annotated,
    common_root,
    in_order,
    parse_box,
)
from facemodels.data.real.detection import BoxKind, BoxSettings
from facemodels.data.real.files import (
    EXTENSIONS,
    by_stem,
    picture_size,
    pictures_of_other_formats,
    read_text,
)

_POINTS = {15: 2, 20: 3}  # columns of a line with five points → numbers of a point
_FAR = 2  # times the picture's side; a centre that is further off is in other units
_ACCEPTED = "`class cx cy w h`, or it with a track id or five points"


class YoloKind(BoxKind):
    """A folder of images and a folder of label files with the same stems."""

    reader = "yolo"
    layout = "`images/*.jpg` + `labels/*.txt` (YOLO: class cx cy w h, relative)"
    precedence = 2

    def read_annotations(
        self, images: Path, annotations: Path
    ) -> tuple[list[AnnotatedImage], list[Problem]]:
        """Read YOLO labels: lines `class cx cy w h` in shares of the image's sides.

        A track id, a confidence or five points may follow. Every class is taken for a face.
        Folders may be nested, if both are alike. An image without a label file has no faces.

        Returns:
            Images sorted by path, and what was left out: a label file without an image, a line
            that does not parse, a box that lies outside.

        Raises:
            DataError: a folder is missing, or there is no image.
        """
        root = common_root(images, annotations)
        paths, taken = by_stem(images, EXTENSIONS, root)
        labels, twice = by_stem(annotations, {".txt"}, root)
        read: list[AnnotatedImage] = []
        problems = [*taken, *twice, *pictures_of_other_formats(images, root)] + [
            Problem.at(label, root, "no picture of this stem")
            for stem, label in labels.items()
            if stem not in paths and label.name != "classes.txt"  # labelling tools write it
        ]
        for stem, image in paths.items():
            try:
                read.append(annotated(image, _boxes(labels.get(stem), image)))
            except BadAnnotationError as error:
                problems.append(Problem.at(labels.get(stem, image), root, str(error)))
        return in_order(read, problems, images)

    def recognise(self, path: Path, shares: SplitShares) -> BoxSettings | None:
        """A folder that has a folder `labels`."""
        return self.settings_for(path, "labels", shares) if (path / "labels").is_dir() else None


def _boxes(label: Path | None, image: Path) -> list[Box]:
    if label is None:
        return []
    lines = read_text(label).splitlines()
    width, height = picture_size(image)
    boxes: list[Box] = []
    for line in filter(str.strip, lines):
        cx, cy, w, h = _box(line)
        boxes.append((
            (cx - w / 2) * width, (cy - h / 2) * height,
            (cx + w / 2) * width, (cy + h / 2) * height,
        ))  # fmt: skip
    return boxes


def _box(line: str) -> Box:
    """Centre and sides of a line, in shares of the picture's sides."""
    kind, *numbers = line.replace(",", " ").split() or [""]
    wrong = BadAnnotationError(f"line {line[:60]!r} is not {_ACCEPTED}")
    if not _is_class(kind) or (len(numbers) not in (4, 5) and len(numbers) + 1 not in _POINTS):
        raise wrong
    box = parse_box(numbers[:4])
    if max(box[:2]) > _FAR:
        raise BadAnnotationError(
            f"line {line[:60]!r} counts pixels or percent, not shares of the picture's sides"
        )
    if (step := _POINTS.get(len(numbers) + 1)) and not _around(box, numbers[4:], step):
        raise wrong  # such as a polygon of as many numbers
    return box


def _is_class(text: str) -> bool:
    """Whether a text is a whole number, however a tool wrote it: 0, 0.0, 1e0."""
    try:
        return float(text) >= 0 and float(text).is_integer()
    except (ValueError, OverflowError):
        return False


def _around(box: Box, numbers: list[str], step: int) -> bool:
    """Whether a box is around the points whose numbers follow it; those at 0 or below are none."""
    try:
        values = [float(text) for text in numbers]
    except ValueError:
        return False
    cx, cy, w, h = box
    return all(
        abs(x - cx) <= w and abs(y - cy) <= h
        for x, y in zip(values[::step], values[1::step], strict=True)
        if x > 0 and y > 0
    )


KINDS = (YoloKind(),)

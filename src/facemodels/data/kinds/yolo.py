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
    files_by_stem,
    images_by_stem,
    in_order,
    parse_box,
    readable_size,
)
from facemodels.data.real.detection import BoxKind, BoxSettings


class YoloKind(BoxKind):
    """A folder of images and a folder of label files with the same stems."""

    reader = "yolo"
    layout = "`images/*.jpg` + `labels/*.txt` (YOLO: class cx cy w h, relative)"
    precedence = 2

    def read_annotations(
        self, images: Path, annotations: Path
    ) -> tuple[list[AnnotatedImage], list[Problem]]:
        """Read YOLO labels: lines `class cx cy w h` in shares of the image's sides.

        Every class is taken for a face. An image without a label file has no faces.

        Returns:
            Images sorted by path, and what was left out: a label file without an image, a line
            that does not parse, a box without area or over `OVERRUN` outside.

        Raises:
            DataError: a folder is missing, or there is no image.
        """
        paths = images_by_stem(images)
        labels = files_by_stem(annotations, {".txt"})
        root = common_root(images, annotations)
        read: list[AnnotatedImage] = []
        problems = [
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
    try:
        lines = label.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise BadAnnotationError(f"not readable as text ({type(error).__name__})") from error
    width, height = readable_size(image)
    boxes: list[Box] = []
    for line in filter(str.strip, lines):
        kind, *numbers = line.split()
        if not kind.isdigit() or len(numbers) != 4:
            raise BadAnnotationError(f"line {line[:60]!r} is not `class cx cy w h`")
        cx, cy, w, h = parse_box(numbers)
        boxes.append((
            (cx - w / 2) * width, (cy - h / 2) * height,
            (cx + w / 2) * width, (cy + h / 2) * height,
        ))  # fmt: skip
    return boxes


KINDS = (YoloKind(),)

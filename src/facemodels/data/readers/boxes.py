"""Scenes with face boxes: Pascal VOC, YOLO and WIDER FACE annotations.

Boxes come out as x0 y0 x1 y1 in pixels, edges frame (see `facemodels.imaging`). Pascal VOC's
own files count from 1 and include the last pixel, most tools that write the format do
neither, and no file says which; its numbers are therefore taken as edges, as they stand.

A scene with one unusable box is left out as a whole: a face without its box would teach a
detector that a face is background.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from defusedxml.ElementTree import fromstring
from numpy.typing import NDArray

from facemodels.data.problems import Problem
from facemodels.errors import DataError
from facemodels.imaging import EXTENSIONS, ImageError, image_size

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

OVERRUN = 2.0  # pixels that a box may lie outside of its picture; such boxes are clipped
_WIDER_COLUMNS = 10  # x y w h blur expression illumination invalid occlusion pose
_WIDER_INVALID = 7

Box = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture and its faces: `boxes` float32 (K, 4), x0 y0 x1 y1 in pixels; K may be 0."""

    path: Path
    boxes: NDArray[np.float32]


class _BadAnnotationError(Exception):
    """One annotation cannot be used; becomes a Problem."""


def read_voc(images_dir: Path, annotations_dir: Path) -> tuple[list[Scene], list[Problem]]:
    """Read Pascal VOC: one XML a picture, of the same stem. Every object is taken for a face.

    Source: Everingham et al., "The PASCAL Visual Object Classes Challenge", 2010.

    Returns:
        Scenes sorted by picture, and what was left out: unparsable XML, a picture without
        annotation or the reverse, a box without area or over `OVERRUN` outside.

    Raises:
        DataError: a folder is missing, or there is no annotation.
    """
    pictures = _pictures(images_dir)
    annotations = _by_stem(annotations_dir, {".xml"})
    root = _common(images_dir, annotations_dir)
    scenes: list[Scene] = []
    problems = [
        Problem.at(picture, root, "no annotation of this stem")
        for stem, picture in pictures.items()
        if stem not in annotations
    ]
    for stem, annotation in annotations.items():
        try:
            boxes = _voc_boxes(annotation, pictures.get(stem))
            scenes.append(_scene(pictures[stem], boxes))
        except _BadAnnotationError as error:
            problems.append(Problem.at(annotation, root, str(error)))
    return _sorted(scenes, problems, annotations_dir)


def read_yolo(images_dir: Path, labels_dir: Path) -> tuple[list[Scene], list[Problem]]:
    """Read YOLO: one text a picture, lines `class cx cy w h` in shares of the picture's sides.

    Every class is taken for a face. A picture without a text is a scene without faces.
    Source: https://docs.ultralytics.com/datasets/detect/

    Returns:
        Scenes sorted by picture, and what was left out: a label without a picture, a line
        that does not parse, a box without area or over `OVERRUN` outside.

    Raises:
        DataError: a folder is missing, or there is no picture.
    """
    pictures = _pictures(images_dir)
    labels = _by_stem(labels_dir, {".txt"})
    root = _common(images_dir, labels_dir)
    scenes: list[Scene] = []
    problems = [
        Problem.at(label, root, "no picture of this stem")
        for stem, label in labels.items()
        if stem not in pictures and label.name != "classes.txt"  # labelling tools write it
    ]
    for stem, picture in pictures.items():
        try:
            scenes.append(_scene(picture, _yolo_boxes(labels.get(stem), picture)))
        except _BadAnnotationError as error:
            problems.append(Problem.at(labels.get(stem, picture), root, str(error)))
    return _sorted(scenes, problems, images_dir)


def read_wider(images_root: Path, annotation_txt: Path) -> tuple[list[Scene], list[Problem]]:
    """Read WIDER FACE's `wider_face_*_bbx_gt.txt`.

    An entry is the picture's path, the number of faces, and a line a face: x y w h blur
    expression illumination invalid occlusion pose. An entry of 0 faces still has one line,
    of zeros. Boxes marked invalid are dropped. Source: the readme.txt of wider_face_split.

    Returns:
        Scenes sorted by picture, and the entries that were left out.

    Raises:
        DataError: folder or file is missing, or the file has no entry.
    """
    if not images_root.is_dir():
        raise DataError(f"{images_root} is not a folder.", "Point to WIDER's images folder.")
    try:
        lines = annotation_txt.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise DataError(f"{annotation_txt}: {error.strerror}.", "Point to the list.") from error
    root = _common(images_root, annotation_txt.parent)
    scenes: list[Scene] = []
    problems: list[Problem] = []
    for number, name, rows in _wider_entries(lines):
        try:
            picture = _inside(images_root, name)
            scenes.append(_scene(picture, _wider_boxes(rows)))
        except _BadAnnotationError as error:
            problems.append(Problem.at(annotation_txt, root, f"line {number}: {error}"))
    return _sorted(scenes, problems, annotation_txt)


def _voc_boxes(annotation: Path, picture: Path | None) -> list[Box]:
    if picture is None:
        raise _BadAnnotationError("no picture of this stem")
    try:
        tree: Element = fromstring(annotation.read_bytes())
    except (OSError, SyntaxError, ValueError, LookupError) as error:  # ParseError, DTD, encoding
        raise _BadAnnotationError(f"not readable as XML ({type(error).__name__})") from error
    if tree.tag != "annotation":
        raise _BadAnnotationError(f"root element is <{tree.tag[:40]}>, not <annotation>")
    return [
        _floats(face.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax"))
        for face in tree.iter("object")
    ]


def _yolo_boxes(label: Path | None, picture: Path) -> list[Box]:
    if label is None:
        return []
    try:
        lines = label.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise _BadAnnotationError(f"not readable as text ({type(error).__name__})") from error
    width, height = _size(picture)
    boxes: list[Box] = []
    for line in filter(str.strip, lines):
        kind, *numbers = line.split()
        if not kind.isdigit() or len(numbers) != 4:
            raise _BadAnnotationError(f"line {line[:60]!r} is not `class cx cy w h`")
        cx, cy, w, h = _floats(numbers)
        boxes.append((
            (cx - w / 2) * width, (cy - h / 2) * height,
            (cx + w / 2) * width, (cy + h / 2) * height,
        ))  # fmt: skip
    return boxes


def _wider_entries(lines: Sequence[str]) -> Iterator[tuple[int, str, list[str]]]:
    """Line number, picture and face lines of each entry.

    An entry begins at a picture's name, so that a wrong count spoils one entry alone.
    """
    named = (Path(line.strip()).suffix.lower() in EXTENSIONS for line in lines)
    starts = [index for index, begins in enumerate(named) if begins or index == 0]
    for start, end in pairwise([*starts, len(lines)]):
        yield (
            start + 1,
            lines[start].strip(),
            [row for row in lines[start + 1 : end] if row.strip()],
        )


def _wider_boxes(rows: list[str]) -> list[Box]:
    count, *faces = rows or [""]
    if not (count.strip().isascii() and count.strip().isdigit()):
        raise _BadAnnotationError("no number of faces after the picture's name")
    if int(count[:9]) == 0 and len(faces) <= 1:
        return []
    if len(faces) != int(count[:9]):
        raise _BadAnnotationError(f"promises {count.strip()[:20]} faces, {len(faces)} lines follow")
    boxes: list[Box] = []
    for face in faces:
        columns = face.split()
        if len(columns) != _WIDER_COLUMNS:
            raise _BadAnnotationError(f"a face line has {len(columns)} columns, not 10")
        if columns[_WIDER_INVALID] != "1":
            x, y, w, h = _floats(columns[:4])
            boxes.append((x, y, x + w, y + h))
    return boxes


def _floats(texts: Iterable[str | None]) -> Box:
    try:
        a, b, c, d = (float(text or "") for text in texts)
    except ValueError:
        raise _BadAnnotationError("a box does not have four numbers") from None
    return a, b, c, d


def _scene(picture: Path, boxes: list[Box]) -> Scene:
    """Check boxes against the picture, clip small overruns.

    Raises:
        _BadAnnotationError: a box is not finite, has no area, or lies too far outside.
    """
    width, height = _size(picture)
    clipped = np.zeros((len(boxes), 4), np.float32)
    for row, (x0, y0, x1, y1) in enumerate(boxes):
        shown = f"box {x0:g} {y0:g} {x1:g} {y1:g}"
        if not all(map(math.isfinite, (x0, y0, x1, y1))):
            raise _BadAnnotationError(f"{shown} is not finite")
        if min(x0, y0) < -OVERRUN or x1 > width + OVERRUN or y1 > height + OVERRUN:
            raise _BadAnnotationError(f"{shown} lies outside of {width}x{height}")
        inside = (max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height)))
        if inside[2] <= inside[0] or inside[3] <= inside[1]:
            raise _BadAnnotationError(f"{shown} has no area in {width}x{height}")
        clipped[row] = inside
    if np.any(clipped[:, 2:] <= clipped[:, :2]):  # an area that float32 cannot hold
        raise _BadAnnotationError("a box has no area")
    return Scene(picture, clipped)


def _size(picture: Path) -> tuple[int, int]:
    try:
        return image_size(picture)
    except ImageError as error:
        raise _BadAnnotationError(f"picture {picture.name}: {error.reason}") from error


def _inside(root: Path, name: str) -> Path:
    """`root / name`, refusing names that lead out of the dataset."""
    parts = Path(name).parts
    if Path(name).is_absolute() or ".." in parts or "\0" in name:
        raise _BadAnnotationError(f"picture {name[:80]!r} lies outside of the dataset")
    return root / name


def _pictures(folder: Path) -> dict[str, Path]:
    return _by_stem(folder, EXTENSIONS)


def _by_stem(folder: Path, extensions: Iterable[str]) -> dict[str, Path]:
    """Files directly in a folder by stem; of two with one stem the first by name."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder.", "Point to the dataset's folder.")
    files = sorted((p for p in folder.iterdir() if p.suffix.lower() in extensions), reverse=True)
    return {path.stem: path for path in files}


def _common(first: Path, second: Path) -> Path:
    """The dataset's root: the deepest folder that holds both."""
    return Path(os.path.commonpath([first.absolute(), second.absolute()]))


def _sorted(
    scenes: list[Scene], problems: list[Problem], source: Path
) -> tuple[list[Scene], list[Problem]]:
    if not scenes and not problems:
        raise DataError(f"{source} holds no annotation.", "Point to the dataset's folder.")
    return sorted(scenes, key=lambda s: s.path.as_posix()), sorted(problems)

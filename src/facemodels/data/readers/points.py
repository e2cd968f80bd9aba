"""Faces with 68 points: 300-W's .pts files and dlib's imglab XML.

Points come out in the centres frame of `facemodels.imaging`: (0, 0) is the centre of the
first pixel. Order: iBUG's, jaw 0-16, brows 17-26, nose 27-35, eyes 36-47, mouth 48-67.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from defusedxml.ElementTree import fromstring
from numpy.typing import NDArray

from facemodels.data.problems import Problem
from facemodels.errors import DataError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

POINTS = 68
_PICTURES = (".jpg", ".png", ".jpeg", ".JPG", ".PNG")
_PART_NAMES = tuple(f"{index:02d}" for index in range(POINTS))


@dataclass(frozen=True, eq=False)
class PointSet:
    """A picture and one face in it.

    Attributes:
        path: the picture.
        points: float32 (68, 2), x y in pixels, centres frame.
        box: float32 (4,), x0 y0 x1 y1 in pixels, edges frame; None where none is annotated.
    """

    path: Path
    points: NDArray[np.float32]
    box: NDArray[np.float32] | None


class _BadAnnotationError(Exception):
    """One annotation cannot be used; becomes a Problem."""


def read_pts(root: Path) -> tuple[list[PointSet], list[Problem]]:
    """Read every `.pts` below `root` that has a picture of its stem beside it.

    300-W was annotated in Matlab, whose first pixel is (1, 1); 1 is subtracted. In sets
    that were shrunk after annotation, by multiplying these numbers alone, half a pixel
    times (1 - scale) remains: such a file does not say its scale.
    Source: Sagonas et al., "300 Faces In-The-Wild Challenge", 2016.

    Returns:
        Point sets sorted by path, and the files that were left out.

    Raises:
        DataError: `root` is missing or holds no `.pts` file.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder.", "Point to a folder of 300-W.")
    samples: list[PointSet] = []
    problems: list[Problem] = []
    for path in sorted(root.rglob("*.pts"), key=lambda p: p.relative_to(root).as_posix()):
        try:
            samples.append(PointSet(_picture_of(path), _pts_points(path), None))
        except _BadAnnotationError as error:
            problems.append(Problem.at(path, root, str(error)))
    if not samples and not problems:
        raise DataError(f"{root} holds no .pts file.", "Point to a folder of 300-W.")
    return samples, problems


def read_dlib_xml(xml_path: Path) -> tuple[list[PointSet], list[Problem]]:
    """Read an imglab XML: <images>, <image file>, <box top left width height>, <part name x y>.

    Parts are named 00 to 67 and count pixels from 0. Boxes marked `ignore` are passed over.
    Files are relative to the XML's folder. Source: dlib, tools/imglab.

    Returns:
        Point sets sorted by picture, then by place in the file, and what was left out: a
        missing picture, a box whose parts or numbers are not as above.

    Raises:
        DataError: the file is missing, is not such an XML, or names no picture.
    """
    remedy = "Point to an XML that imglab wrote."
    try:
        tree: Element = fromstring(xml_path.read_bytes())
    except (OSError, SyntaxError, ValueError, LookupError) as error:
        raise DataError(f"{xml_path} cannot be read as XML: {error}.", remedy) from error
    images = tree.findall("images/image") if tree.tag == "dataset" else []
    if not images:
        raise DataError(f"{xml_path} names no picture.", remedy)
    samples: list[PointSet] = []
    problems: list[Problem] = []
    for image in images:
        _read_image(image, xml_path, samples, problems)
    return sorted(samples, key=lambda s: s.path.as_posix()), sorted(problems)


def _read_image(
    image: Element, xml_path: Path, samples: list[PointSet], problems: list[Problem]
) -> None:
    name = image.get("file", "")
    for index, box in enumerate(image.findall("box")):
        if box.get("ignore") == "1":
            continue
        try:
            samples.append(
                PointSet(_listed_picture(name, xml_path.parent), _parts(box), _dlib_box(box))
            )
        except _BadAnnotationError as error:
            reason = f"{name[:200]!r}, box {index}: {error}"
            problems.append(Problem.at(xml_path, xml_path.parent, reason))


def _picture_of(path: Path) -> Path:
    for extension in _PICTURES:
        picture = path.with_suffix(extension)
        if picture.is_file():
            return picture
    raise _BadAnnotationError("no picture of this stem")


def _listed_picture(name: str, folder: Path) -> Path:
    parts = Path(name).parts
    if not parts or Path(name).is_absolute() or ".." in parts or "\0" in name:
        raise _BadAnnotationError("the picture's path leads out of the dataset")
    try:
        found = (folder / name).is_file()
    except OSError:  # such as a name that is too long
        found = False
    if not found:
        raise _BadAnnotationError("no such picture")
    return folder / name


def _pts_points(path: Path) -> NDArray[np.float32]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise _BadAnnotationError(f"not readable as text ({type(error).__name__})") from error
    head, opened, rest = text.partition("{")
    body, closed, _ = rest.partition("}")
    fields = {key.strip(): value.strip() for key, _, value in _key_values(head)}
    if not (opened and closed) or fields != {"version": "1", "n_points": str(POINTS)}:
        raise _BadAnnotationError(f"not a version 1 file of {POINTS} points")
    rows = [line.split() for line in body.splitlines() if line.strip()]
    return _checked(rows) - np.float32(1)


def _key_values(head: str) -> list[tuple[str, str, str]]:
    return [line.partition(":") for line in head.splitlines() if line.strip()]


def _parts(box: Element) -> NDArray[np.float32]:
    parts = {part.get("name", ""): part for part in box.findall("part")}
    counted = Counter(part.get("name", "") for part in box.findall("part"))
    if counted != Counter(_PART_NAMES):
        raise _BadAnnotationError(f"its parts are not 00 to {POINTS - 1}, once each")
    return _checked([[parts[name].get("x", ""), parts[name].get("y", "")] for name in _PART_NAMES])


def _checked(rows: list[list[str]]) -> NDArray[np.float32]:
    """Float32 (68, 2) of number texts: finite, and not all on one line of pixels."""
    if len(rows) != POINTS or any(len(row) != 2 for row in rows):
        raise _BadAnnotationError(f"not {POINTS} lines of x and y")
    points = _to_float32(value for row in rows for value in row).reshape(POINTS, 2)
    if np.any(np.ptp(points, axis=0) <= 0):
        raise _BadAnnotationError("its points enclose no area")
    return points


def _dlib_box(box: Element) -> NDArray[np.float32]:
    left, top, width, height = _to_float32(
        box.get(side, "") for side in ("left", "top", "width", "height")
    )
    if width <= 0 or height <= 0:
        raise _BadAnnotationError("its box has no area")
    return np.array([left, top, left + width, top + height], np.float32)


def _to_float32(texts: Iterable[str]) -> NDArray[np.float32]:
    try:
        values = np.array([float(text) for text in texts], np.float64)
    except ValueError:
        raise _BadAnnotationError("a coordinate is not a number") from None
    # No picture is a million pixels wide; larger numbers would only overflow later.
    if not np.all(np.abs(values) < 1e6):
        raise _BadAnnotationError("a coordinate is not finite")
    return values.astype(np.float32)

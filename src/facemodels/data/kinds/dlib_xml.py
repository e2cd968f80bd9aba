"""Landmarks from the XML lists of dlib's imglab.

Parts are named 00 to 67 and count pixels from 0. Source: dlib, tools/imglab.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from defusedxml.ElementTree import fromstring
from numpy.typing import NDArray

from facemodels.data.dataset_kind import SplitShares
from facemodels.data.problems import BadAnnotationError, Problem
from facemodels.data.real.files import PictureNames
from facemodels.data.real.landmarks import PointKind, PointSettings
from facemodels.data.real.point_sets import POINTS, PointSet, parse_coordinates, parse_points
from facemodels.errors import DataError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_PART_NAMES = tuple(f"{index:02d}" for index in range(POINTS))


class DlibXmlKind(PointKind):
    """XML lists, whose images are relative to the list's folder."""

    reader = "dlib-xml"
    layout = "dlib's XML list with 68 `part`s in each box"
    precedence = 1

    def read_points(self, path: Path) -> tuple[list[PointSet], list[Problem]]:
        """Read a list: <images>, <image file>, <box top left width height>, <part name x y>.

        Boxes that are marked `ignore` are passed over.

        Returns:
            Faces sorted by image, then by position in the file, and what was left out: a missing
            image, a box whose parts or numbers are not as above.

        Raises:
            DataError: the file is missing, is not such an XML, or names no image.
        """
        remedy = "Point to an XML that imglab wrote."
        try:
            tree: Element = fromstring(path.read_bytes())
        except (OSError, SyntaxError, ValueError, LookupError) as error:
            raise DataError(f"{path} cannot be read as XML: {error}.", remedy) from error
        images = tree.findall({"dataset": "images/image", "images": "image"}.get(tree.tag, "_"))
        if not images:
            raise DataError(f"{path} names no picture.", remedy)
        faces: list[PointSet] = []
        problems: list[Problem] = []
        names = PictureNames(path.parent)
        for image in images:
            _read_image(image, path, names, faces, problems)
        return sorted(faces, key=lambda s: s.path.as_posix()), sorted(problems)

    def recognise(self, path: Path, shares: SplitShares) -> PointSettings | None:
        """A file that ends with .xml; it is both the training and the test set."""
        if path.suffix != ".xml":
            return None
        folder = path if path.is_dir() else path.parent
        return self.settings_for(folder, path.name, path.name, shares)


def _read_image(
    image: Element,
    path: Path,
    names: PictureNames,
    faces: list[PointSet],
    problems: list[Problem],
) -> None:
    name = image.get("file", "")
    for index, box in enumerate(image.findall("box")):
        if box.get("ignore") == "1":
            continue
        try:
            faces.append(PointSet(names.find(name), _parts(box), _box(box)))
        except BadAnnotationError as error:
            reason = f"{name[:200]!r}, box {index}: {error}"
            problems.append(Problem.at(path, path.parent, reason))


def _parts(box: Element) -> NDArray[np.float32]:
    named = [(_part_name(part), part) for part in box.findall("part")]
    parts, counted = dict(named), Counter(name for name, _ in named)
    if counted != Counter(_PART_NAMES):
        raise BadAnnotationError(f"its parts are not 00 to {POINTS - 1}, once each")
    return parse_points(
        [[parts[name].get("x", ""), parts[name].get("y", "")] for name in _PART_NAMES]
    )


def _part_name(part: Element) -> str:
    """The name of a part with two digits; some tools write 0 to 67."""
    name = part.get("name", "").strip()
    return name.zfill(2) if name.isascii() and name.isdigit() else name


def _box(box: Element) -> NDArray[np.float32]:
    left, top, width, height = parse_coordinates(
        box.get(side, "") for side in ("left", "top", "width", "height")
    )
    if width <= 0 or height <= 0:
        raise BadAnnotationError("its box has no area")
    return np.array([left, top, left + width, top + height], np.float32)


KINDS = (DlibXmlKind(),)

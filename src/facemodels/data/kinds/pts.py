"""Landmarks from 300-W: a .pts file beside each image.

300-W was annotated in Matlab, whose first pixel is (1, 1); 1 is subtracted. In sets that were
shrunk after annotation, by multiplying these numbers alone, half a pixel times (1 - scale)
remains: such a file does not say its scale.
Source: Sagonas et al., "300 Faces In-The-Wild Challenge", 2016.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facemodels.data.dataset_kind import SplitShares
from facemodels.data.problems import BadAnnotationError, Problem
from facemodels.data.real.files import EXTENSIONS, by_stem, files_below, read_text
from facemodels.data.real.landmarks import PointKind, PointSettings
from facemodels.data.real.point_sets import POINTS, PointSet, parse_points
from facemodels.errors import DataError


class PtsKind(PointKind):
    """Folders of images with .pts files, at any depth."""

    reader = "pts"
    layout = "`*.jpg` + `*.pts` (300-W; also in `trainset/` and `testset/`)"
    precedence = 2

    def read_points(self, path: Path) -> tuple[list[PointSet], list[Problem]]:
        """Read every `.pts` file below `path` that has an image of its stem beside it.

        Returns:
            Faces sorted by path, and the files that were left out.

        Raises:
            DataError: `path` is missing or holds no `.pts` file.
        """
        images, _ = by_stem(path, EXTENSIONS, path)
        files, problems = by_stem(path, {".pts"}, path)
        faces: list[PointSet] = []
        for stem, file in files.items():
            if stem not in images:
                problems.append(Problem.at(file, path, "no picture of this stem"))
                continue
            try:
                faces.append(PointSet(images[stem], _points(file), None))
            except BadAnnotationError as error:
                problems.append(Problem.at(file, path, str(error)))
        if not faces and not problems:
            raise DataError(f"{path} holds no .pts file.", "Point to a folder of 300-W.")
        return faces, sorted(problems)

    def recognise(self, path: Path, shares: SplitShares) -> PointSettings | None:
        """A folder with .pts files, in `trainset/` and `testset/` or in one set.

        One set is both: it is trained on all but the share of val, or tested on all of it.
        """
        if (path / "trainset").is_dir() and (path / "testset").is_dir():
            return self.settings_for(path, "trainset", "testset", shares)
        if path.is_dir() and files_below(path, {".pts"}):
            return self.settings_for(path, ".", ".", shares)
        return None


def _points(path: Path) -> NDArray[np.float32]:
    head, opened, rest = read_text(path).partition("{")
    body, closed, _ = rest.partition("}")
    fields = {key.strip(): value.strip() for key, _, value in _key_values(head)}
    if not (opened and closed) or fields != {"version": "1", "n_points": str(POINTS)}:
        raise BadAnnotationError(f"not a version 1 file of {POINTS} points")
    rows = [line.split() for line in body.splitlines() if line.strip()]
    return parse_points(rows) - np.float32(1)


def _key_values(head: str) -> list[tuple[str, str, str]]:
    return [line.partition(":") for line in head.splitlines() if line.strip()]


KINDS = (PtsKind(),)

"""Finds the face of an image with a detector's package, for the datasets of recognition."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemodels.data.dataset_kind import FoundFace
from facemodels.data.real.recognition import FaceSettings
from facemodels.imaging import Choice, chosen
from facemodels.package.load import Package, open_package


@dataclass(frozen=True)
class PackageFinder:
    """Finds faces with the served form of a package; each process opens it once.

    Attributes:
        package: folder of a detector's package.
        choose: which face is taken of several, see `FaceSettings`.
        min_score: faces that score below this are not looked at; None takes the threshold
            that the package was validated with.
    """

    package: Path
    choose: Choice = "centre"
    min_score: float | None = None

    def __call__(self, image: NDArray[np.uint8]) -> FoundFace | None:
        """Return the face of an image uint8 (H, W, 3), RGB; None if there is none."""
        predictor = _predictor(self.package)
        (found,) = predictor.detect([image])
        rows = np.flatnonzero(found.scores >= self._least())
        if len(rows) == 0:
            return None
        height, width = image.shape[:2]
        row = int(rows[chosen(found.boxes[rows], width, height, self.choose)])
        return FoundFace(found.boxes[row], None if found.points is None else found.points[row])

    def about(self) -> dict[str, Any]:
        """What the figures depend on: the detector, and how its faces were taken."""
        package = _package(self.package)
        return {
            "detector": str(package.id),
            "digest": package.digest,
            "min_score": self._least(),
            "choose": self.choose,
        }

    def _least(self) -> float:
        if self.min_score is not None:
            return self.min_score
        return float(_package(self.package).config.get("threshold", 0.5))


def finder_of(settings: Any) -> PackageFinder | None:
    """The finder that a dataset of recognition asks for; None if it asks for none.

    Raises:
        InputError: the detector's package is missing.
        IntegrityError: it is not what its checksums say.
    """
    if not isinstance(settings, FaceSettings) or not settings.detector:
        return None
    finder = PackageFinder(Path(settings.detector), settings.choose, settings.min_score)
    finder.about()  # opens it here, where an error is told once and not by every process
    return finder


@lru_cache(maxsize=2)
def _package(folder: Path) -> Package:
    return open_package(folder)


@lru_cache(maxsize=2)
def _predictor(folder: Path) -> Any:
    return _package(folder).predictor(threads=1)

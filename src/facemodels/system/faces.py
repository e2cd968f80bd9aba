"""A photo to its faces: each with box, score, points, quality and embedding.

Every face is embedded by itself. A graph may round differently in a batch of another size, and
then the embedding of a face would depend on who else is in the photo.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facemodels.detection.task import DetectionModel, Detections
from facemodels.errors import InputError
from facemodels.imaging import Crop, as_rgb, five_points
from facemodels.landmarks.task import LandmarkModel
from facemodels.recognition.task import Embedder
from facemodels.system.quality import Quality, measure

Image = NDArray[np.uint8]
Points = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Face:
    """A face of a photo.

    Attributes:
        box: float32 (4,), x0 y0 x1 y1, pixels of the photo, edges frame.
        score: of the detector, 0..1.
        points: float32 (5, 2), pixels of the photo, centres frame, see `detection.task`.
        quality: its size and sharpness.
        embedding: float32 (D,), of length one.
    """

    box: NDArray[np.float32]
    score: float
    points: NDArray[np.float32]
    quality: Quality
    embedding: NDArray[np.float32]


@dataclass(frozen=True)
class FaceSystem:
    """The models that turn a photo into embeddings, as they were evaluated together.

    Attributes:
        detector: finds the faces.
        landmarks: finds 68 points of a face, of which five are taken; None where the detector
            gives five points itself.
        embedder: gives the embedding of an aligned face.
        min_score: faces that score below this are not looked at.
        threshold: similarity from which two faces are of one person; None before it was chosen.
    """

    detector: DetectionModel
    landmarks: LandmarkModel | None
    embedder: Embedder
    min_score: float
    threshold: float | None = None

    def __post_init__(self) -> None:
        """Check that the members fit together."""
        crop = self.embedder.preprocessing.crop
        if crop is None or crop.kind == "centre":
            raise InputError(
                "the recogniser takes no face out of a photo: its package names no crop by points "
                "or by a box.",
                "Choose a recogniser with such a crop, for example recognition-dlib.",
            )

    @property
    def crop(self) -> Crop:
        """How a face is cut out."""
        crop = self.embedder.preprocessing.crop
        assert crop is not None  # noqa: S101  (checked when the system is made)
        return crop

    def find(self, photo: Image, *, min_score: float | None = None) -> list[Face]:
        """Find the faces of a photo, best first.

        Args:
            photo: uint8 (H, W, 3), RGB.
            min_score: another least score than the system's own.

        Raises:
            ImageError: the photo cannot be used.
            InputError: the detector gives no points, and the system has no landmarks.
        """
        image = as_rgb(photo)
        least = self.min_score if min_score is None else min_score
        (found,) = self.detector.detect([image])
        rows = np.flatnonzero(found.scores >= least)
        points = self._points(image, found, rows)
        # All crops first: a network drives what cutting needs out of the processor's caches.
        crops = [
            self.crop.cut(image, five, found.boxes[row])
            for row, five in zip(rows, points, strict=True)
        ]
        qualities = [measure(five, crop) for five, crop in zip(points, crops, strict=True)]
        embeddings = [self.embedder.embed([crop])[0] for crop in crops]
        return [
            Face(found.boxes[row], float(found.scores[row]), *of_face)
            for row, *of_face in zip(rows, points, qualities, embeddings, strict=True)
        ]

    def _points(self, image: Image, found: Detections, rows: NDArray[np.intp]) -> list[Points]:
        """Five points (5, 2) of each face; of the landmarks, where the system has some."""
        if self.landmarks is not None:
            fit = [self.landmarks.fit([image], found.boxes[row][None])[0] for row in rows]
            return [five_points(points) for points in fit]
        if found.points is None:
            raise InputError(
                "the detector gives boxes alone, and the system has no landmarks.",
                "Name a model of landmarks in conf/bundle, or a detector with points.",
            )
        return list(found.points[rows])

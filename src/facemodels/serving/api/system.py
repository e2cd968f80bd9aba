"""What a system answers: the faces of photos, and whether two photos show one person."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from facemodels.errors import InputError
from facemodels.imaging import Choice, chosen
from facemodels.package.load import Package
from facemodels.serving.api.points import NUMBER
from facemodels.serving.http.errors import RequestError
from facemodels.system.calibration import Calibration
from facemodels.system.faces import Face
from facemodels.system.quality import QualityLimits, shortfall

Image = NDArray[np.uint8]
# Which face of several: one by its place or score, every one, or none: then several are an error.
CHOICES = (*get_args(Choice), "all", "error")
_DEFAULT_CHOICE = "largest"
_NUMBER = re.compile(NUMBER, re.ASCII)


class SystemAnswers:
    """Answers requests with the predictor of a system.

    Args:
        package: the package of the system.
        predictor: finds the faces of a photo, see `FaceSystem.find`.
    """

    def __init__(self, package: Package, predictor: Any) -> None:
        config = package.config
        self._find = predictor.find
        self._space = package.metadata["embedding_space"]
        self._min_score = float(config["min_score"])
        self._threshold = float(config["threshold"])
        self._calibration = Calibration.of_json(config["calibration"])
        self._limits = QualityLimits.model_validate(config["quality"])

    def faces(self, images: Sequence[Image], query: Mapping[str, str]) -> dict[str, Any]:
        """Every face of every photo, and the similarity from which two of them are one person.

        Raises:
            RequestError: 400 if a parameter is wrong.
        """
        least = number(query, "threshold", self._min_score, 0, 1)
        # `threshold` is of the detector's score here, so that of similarity comes by a rate alone.
        threshold = self._similarity_threshold({k: v for k, v in query.items() if k == "fmr"})
        results = [
            {
                "width": image.shape[1],
                "height": image.shape[0],
                "faces": [
                    {**_described(face), "embedding": face.embedding}
                    for face in self._find(image, min_score=least)
                ],
            }
            for image in images
        ]
        return {
            "threshold": least,
            "embedding_space": self._space,
            "verification": {"threshold": threshold, "fmr": self._calibration.fmr(threshold)},
            "results": results,
        }

    def verify(self, images: Sequence[Image], query: Mapping[str, str]) -> dict[str, Any]:
        """Whether two photos show one person, and by which faces.

        Raises:
            RequestError: 400 if a parameter is wrong; 422 if a photo shows no face, several where
                the client asked for one, or one that is too small or too blurred.
        """
        threshold = self._similarity_threshold(query)
        choose = query.get("choose", _DEFAULT_CHOICE)
        if choose not in CHOICES:
            raise RequestError(400, "wrong_parameter", f"choose is one of {', '.join(CHOICES)}.")
        first, second = (
            self._meant(image, place, choose) for place, image in enumerate(images, start=1)
        )
        one, other = (np.stack([face.embedding for face in faces]) for faces in (first, second))
        row, column = np.unravel_index(np.argmax(one @ other.T), (len(first), len(second)))
        similarity = float(np.dot(one[row], other[column]))
        return {
            "similarity": similarity,
            "threshold": threshold,
            "fmr": self._calibration.fmr(threshold),
            "same_person": similarity >= threshold,
            "faces": [_described(first[row]), _described(second[column])],
        }

    def _similarity_threshold(self, query: Mapping[str, str]) -> float:
        """The threshold that the client names, or that gives the rate that it names."""
        if "fmr" not in query:
            return number(query, "threshold", self._threshold, -1, 1)
        if "threshold" in query:
            raise RequestError(400, "wrong_parameter", "Give fmr or threshold, not both.")
        try:
            return self._calibration.threshold(number(query, "fmr", 0.0, 0, 1))
        except InputError as error:
            raise RequestError(400, "unsupported_fmr", str(error)) from error

    def _meant(self, image: Image, place: int, choose: str) -> list[Face]:
        """The faces of a photo that are compared, one or more."""
        faces = self._find(image)
        if not faces:
            raise RequestError(
                422, "no_face", f"Image {place} shows no face that scores {self._min_score:g}."
            )
        if choose == "error" and len(faces) > 1:
            raise RequestError(
                422, "several_faces", f"Image {place} shows {len(faces)} faces, not one."
            )
        if choose not in ("all", "error"):
            boxes = np.stack([face.box for face in faces])
            height, width = image.shape[:2]
            faces = [faces[chosen(boxes, width, height, choose)]]  # type: ignore[arg-type]
        lacks = [shortfall(face.quality, self._limits) for face in faces]
        good = [face for face, lack in zip(faces, lacks, strict=True) if lack is None]
        if not good:
            raise RequestError(422, "poor_face", f"The face of image {place} {lacks[0]}.")
        return good


def number(query: Mapping[str, str], name: str, default: float, low: float, high: float) -> float:
    """The number of a parameter of the query, or the default.

    Raises:
        RequestError: 400 if it is no number from `low` to `high`.
    """
    text = query.get(name)
    if text is None:
        return float(default)
    if not _NUMBER.fullmatch(text) or not low <= float(text) <= high:
        raise RequestError(400, "wrong_parameter", f"{name} is a number from {low:g} to {high:g}.")
    return float(text)


def _described(face: Face) -> dict[str, Any]:
    """A face without its embedding."""
    return {
        "box": face.box,
        "score": face.score,
        "points": face.points,
        "quality": {"eyes": face.quality.eyes, "sharpness": face.quality.sharpness},
    }

"""What a system answers: the faces of photos, whether two are one person, and who they are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from facemodels.errors import DataError, InputError
from facemodels.gallery.faces import FACE_CHOICES, FaceError, SourcePhoto, meant
from facemodels.gallery.identify import identify
from facemodels.gallery.opened import OperatingThreshold
from facemodels.gallery.spaces import SpaceError
from facemodels.gallery.store import Gallery
from facemodels.imaging import Photo
from facemodels.serving.api.points import NUMBER
from facemodels.serving.galleries import ServedGalleries
from facemodels.serving.http.errors import RequestError
from facemodels.system.faces import Face

MOST_PEOPLE = 100  # of an answer
_DEFAULT_PEOPLE = 5
_DEFAULT_CHOICE = "largest"
_NUMBER = re.compile(NUMBER, re.ASCII)
_WHOLE = re.compile("[0-9]{1,4}")


class SystemAnswers:
    """Answers requests with a system.

    Args:
        galleries: the system, and the galleries that it searches.
    """

    def __init__(self, galleries: ServedGalleries) -> None:
        self._system = galleries.system
        self._galleries = galleries

    def faces(self, photos: Sequence[Photo], query: Mapping[str, str]) -> dict[str, Any]:
        """Every face of every photo, and the similarity from which two of them are one person.

        Raises:
            RequestError: 400 if a parameter is wrong.
        """
        least = number(query, "threshold", self._system.min_score, 0, 1)
        # `threshold` is of the detector's score here, so that of similarity comes by a rate alone.
        verification = self.operating({k: v for k, v in query.items() if k == "fmr"})
        results = [
            {
                **size(photo),
                "faces": [
                    {**described(_in_file(photo, face)), "embedding": face.embedding}
                    for face in self._system.find(photo.pixels, min_score=least)
                ],
            }
            for photo in photos
        ]
        return {
            "threshold": least,
            "embedding_space": self._system.space,
            "verification": asdict(verification),
            "results": results,
        }

    def verify(self, photos: Sequence[Photo], query: Mapping[str, str]) -> dict[str, Any]:
        """Whether two photos show one person, and by which faces.

        Raises:
            RequestError: 400 if a parameter is wrong; 422 if a photo shows no face, several where
                the client asked for one, or one that is too small or too blurred.
        """
        operating = self.operating(query)
        first, second = self._meant(photos, query)
        one, other = (np.stack([face.embedding for face in faces]) for faces in (first, second))
        row, column = np.unravel_index(np.argmax(one @ other.T), (len(first), len(second)))
        similarity = float(np.dot(one[row], other[column]))
        return {
            "similarity": similarity,
            **asdict(operating),
            "same_person": similarity >= operating.threshold,
            "faces": [described(first[row]), described(second[column])],
        }

    def identify(self, photos: Sequence[Photo], query: Mapping[str, str]) -> dict[str, Any]:
        """Who the faces of each photo are: the best people of a gallery, or unknown.

        Raises:
            RequestError: 400 if a parameter is wrong; 404 or 409 if the gallery cannot be
                searched; 422 as with `verify`.
        """
        operating = self.operating(query)
        top = _whole(query, "top", _DEFAULT_PEOPLE, MOST_PEOPLE)
        name = self._gallery_name(query)
        gallery = self.opened(name)
        results = []
        for photo, faces in zip(photos, self._meant(photos, query), strict=True):
            found = identify(gallery.index, faces, operating, top=top)
            results.append({**size(photo), "faces": [
                {**described(one.face), "person": one.person,
                 "people": [match._asdict() for match in one.people]}
                for one in found
            ]})  # fmt: skip
        return {
            "gallery": name,
            "embedding_space": self._system.space,
            **asdict(operating),
            "enrolled_people": len(gallery.index.people),
            "results": results,
        }

    def logged(self, query: Mapping[str, str]) -> dict[str, str]:
        """What the log says of a request to identify: where was searched, not who was found."""
        try:
            name = self._gallery_name(query)
        except RequestError:
            name = "unknown"
        return self.logged_gallery(name)

    def logged_gallery(self, name: str) -> dict[str, str]:
        """What the log says of a request to a gallery, given the name that the client gave."""
        known = name if name in self._galleries.folders else "unknown"
        version, _, _ = self._system.name.partition(" ")
        return {"gallery": known, "embedding_space": self._system.space, "version": version}

    def opened(self, name: str) -> Gallery:
        """A gallery with the faces of the system's space.

        Raises:
            RequestError: 404 if there is none, 409 if it has faces of other spaces only, 503 if
                it cannot be read.
        """
        try:
            return self._galleries.opened(name)
        except SpaceError as error:
            raise RequestError(
                409, "other_space",
                f"The gallery {name} has faces of {' and '.join(error.present)}, and this system "
                f"answers in {error.wanted}.",
                details={"embedding_space": error.wanted, "gallery_spaces": list(error.present)},
            ) from error  # fmt: skip
        except InputError as error:
            raise no_gallery(name, known=name in self._galleries.folders) from error
        except DataError as error:
            raise RequestError(503, "unreadable_gallery", "The gallery cannot be read.") from error

    def operating(self, query: Mapping[str, str]) -> OperatingThreshold:
        """The threshold that the client names, or that gives the rate that it names.

        Raises:
            RequestError: 400 if it names both, or a rate that the calibration does not show.
        """
        threshold = number(query, "threshold", 0, -1, 1) if "threshold" in query else None
        fmr = number(query, "fmr", 0, 0, 1) if "fmr" in query else None
        if threshold is not None and fmr is not None:
            raise RequestError(400, "wrong_parameter", "Give fmr or threshold, not both.")
        try:
            return self._system.operating_threshold(threshold=threshold, fmr=fmr)
        except InputError as error:
            raise RequestError(400, "unsupported_fmr", str(error)) from error

    def _gallery_name(self, query: Mapping[str, str]) -> str:
        """The gallery that the client names; where the server has one alone, that one."""
        names = list(self._galleries.folders)
        asked = query.get("gallery", names[0] if len(names) == 1 else None)
        if asked is None and names:
            raise RequestError(
                400, "wrong_parameter", f"gallery is one of {', '.join(names)}."
            )  # fmt: skip
        if asked not in names:
            raise no_gallery(asked or "", known=False)
        return asked

    def _meant(self, photos: Sequence[Photo], query: Mapping[str, str]) -> list[list[Face]]:
        """The faces of each photo that are compared, one or more."""
        choose: Any = query.get("choose", _DEFAULT_CHOICE)
        if choose not in FACE_CHOICES:
            told = ", ".join(FACE_CHOICES)
            raise RequestError(400, "wrong_parameter", f"choose is one of {told}.")
        system, found = self._system, []
        try:
            for place, photo in enumerate(photos, start=1):
                faces = meant(
                    SourcePhoto(f"Image {place}", b"", "", photo.pixels),
                    system.find(photo.pixels),
                    choose=choose,
                    limits=system.limits,
                    min_score=system.min_score,
                )
                found.append([_in_file(photo, face) for face in faces])
        except FaceError as error:
            raise unfit_face(error) from error
        return found


def unfit_face(error: FaceError) -> RequestError:
    """The answer to a photo whose face cannot be used: what was measured, and the limit."""
    lack = error.lack
    return RequestError(
        409 if error.problem in ("other_person", "nobody") else 422,
        error.problem,
        error.what,
        details={} if lack is None else asdict(lack),
    )


def no_gallery(name: str, *, known: bool) -> RequestError:
    """The answer where a gallery is asked for that is not there.

    Args:
        name: what the client asked for.
        known: whether the server has a gallery of that name; it is repeated only then.
    """
    if known:
        return RequestError(404, "empty_gallery", f"Nobody is enrolled in the gallery {name}.")
    return RequestError(404, "no_such_gallery", "This server has no such gallery.")


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


def _whole(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = query.get(name, str(default))
    if not _WHOLE.fullmatch(text) or not 1 <= int(text) <= most:
        raise RequestError(400, "wrong_parameter", f"{name} is a whole number from 1 to {most}.")
    return int(text)


def size(photo: Photo) -> dict[str, int]:
    """The size of the file in the answer."""
    return {"width": photo.width, "height": photo.height}


def _in_file(photo: Photo, face: Face) -> Face:
    """A face that was found in a reduced photo, with its place in the file.

    Its quality stays what the system saw and judged.
    """
    if photo.scale == 1:
        return face
    box, points = photo.boxes_of_file(face.box), photo.points_of_file(face.points)
    return replace(face, box=box, points=points)


def described(face: Face) -> dict[str, Any]:
    """A face without its embedding."""
    return {
        "box": face.box,
        "score": face.score,
        "points": face.points,
        "quality": asdict(face.quality),
    }

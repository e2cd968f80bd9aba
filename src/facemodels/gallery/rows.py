"""Enrolled faces, as columns.

A row is one face of one photo under one name. Two boxes of one photo that overlap by an IoU of
0.5 or more are one face.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemodels.detection.task import iou
from facemodels.system.faces import Face

SAME_FACE = 0.5  # IoU


@dataclass(frozen=True, eq=False, repr=False)
class EnrolledFaces:
    """N enrolled faces of one embedding space; no log or message shows an embedding.

    Attributes:
        person: str (N,), the name; None for a face that is marked as nobody.
        source: str (N,), SHA-256 of the bytes of the photo, hexadecimal.
        box: float32 (N, 4), x0 y0 x1 y1, pixels of the upright photo, edges frame.
        score: float32 (N,), of the detector, 0..1.
        eyes: float32 (N,), pixels of the photo, see `system.quality`.
        sharpness: float32 (N,), see `system.quality`.
        enrolled: datetime64[s] (N,), UTC.
        system: str (N,), id and digest of the system that embedded the face.
        embedding: float32 (N, D), of length one.
    """

    person: NDArray[np.object_]
    source: NDArray[np.object_]
    box: NDArray[np.float32]
    score: NDArray[np.float32]
    eyes: NDArray[np.float32]
    sharpness: NDArray[np.float32]
    enrolled: NDArray[np.datetime64]
    system: NDArray[np.object_]
    embedding: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.person)

    def __repr__(self) -> str:
        return f"<{len(self)} enrolled faces>"

    @property
    def named(self) -> NDArray[np.bool_]:
        """bool (N,): whether a face has a name."""
        return np.array([name is not None for name in self.person], np.bool_)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> EnrolledFaces:
        """Some of the faces, by a mask or by their places."""
        return EnrolledFaces(**{name: column[rows] for name, column in self.columns().items()})

    def sorted(self) -> EnrolledFaces:
        """By name, photo and box: equal faces give equal bytes, whatever they were enrolled in."""
        keys = [*self.box.T[::-1], self.source.astype(str), _text(self.person)]
        return self.take(np.lexsort(keys))

    def renamed(self, rows: NDArray[np.bool_], person: str | None) -> EnrolledFaces:
        """The same faces, some of them under another name or none; of two equal ones the first."""
        names = self.person.copy()
        names[rows] = person
        return EnrolledFaces(**{**self.columns(), "person": names}).unique()

    def unique(self) -> EnrolledFaces:
        """The faces that no earlier row has under the same name."""
        groups: dict[tuple[str | None, str], list[int]] = {}
        kept = []
        for place, key in enumerate(zip(self.person, self.source, strict=True)):
            before = groups.setdefault(key, [])
            if before and (iou(self.box[place], self.box[before]) >= SAME_FACE).any():
                continue
            before.append(place)
            kept.append(place)
        return self.take(np.array(kept, np.intp))

    def columns(self) -> dict[str, NDArray[Any]]:
        """The columns by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def no_faces(dimension: int) -> EnrolledFaces:
    """Columns without a row, for embeddings of a length."""
    words = np.empty(0, np.object_)
    numbers = np.empty(0, np.float32)
    return EnrolledFaces(
        person=words,
        source=words,
        box=np.empty((0, 4), np.float32),
        score=numbers,
        eyes=numbers,
        sharpness=numbers,
        enrolled=np.empty(0, "datetime64[s]"),
        system=words,
        embedding=np.empty((0, dimension), np.float32),
    )


def enrolled_face(
    face: Face, *, person: str | None, source: str, when: datetime, system: str
) -> EnrolledFaces:
    """One row of a face that a system found."""
    moment = np.datetime64(when.astimezone(UTC).replace(tzinfo=None), "s")
    return EnrolledFaces(
        person=np.array([person], np.object_),
        source=np.array([source], np.object_),
        box=face.box.astype(np.float32)[None],
        score=np.array([face.score], np.float32),
        eyes=np.array([face.quality.eyes], np.float32),
        sharpness=np.array([face.quality.sharpness], np.float32),
        enrolled=np.array([moment]),
        system=np.array([system], np.object_),
        embedding=face.embedding.astype(np.float32)[None],
    )


def joined(parts: Sequence[EnrolledFaces]) -> EnrolledFaces:
    """The faces of all parts, one or more, one part behind the other."""
    columns = [part.columns() for part in parts]
    return EnrolledFaces(**{
        name: np.concatenate([part[name] for part in columns]) for name in columns[0]
    })  # fmt: skip


class FacePlaces:
    """Finds the rows that are of one face of a photo.

    Args:
        rows: where to look.
    """

    def __init__(self, rows: EnrolledFaces) -> None:
        self._box = rows.box
        self._places: dict[str, list[int]] = {}
        for place, source in enumerate(rows.source):
            self._places.setdefault(source, []).append(place)

    def of(self, source: str, box: NDArray[np.float32]) -> NDArray[np.intp]:
        """The places of the rows of a face, under whatever names; none if it is not enrolled.

        Args:
            source: digest of the photo.
            box: float32 (4,), of the face in it.
        """
        places = np.array(self._places.get(source, ()), np.intp)
        return places[iou(box, self._box[places]) >= SAME_FACE]


def distinct(faces: Sequence[Face]) -> list[Face]:
    """The faces of a photo, each once; of two boxes of one face the one that scores best."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        boxes = np.array([other.box for other in kept], np.float32).reshape(-1, 4)
        if not (iou(face.box, boxes) >= SAME_FACE).any():
            kept.append(face)
    return kept


def _text(names: NDArray[np.object_]) -> NDArray[np.str_]:
    """Names as text that sorts; nobody comes first."""
    return np.array(["" if name is None else name for name in names], np.str_)

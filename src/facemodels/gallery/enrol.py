"""Photos of a person into a gallery: all of them, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from facemodels.errors import InputError
from facemodels.gallery.faces import FaceChoice, FaceError, SourcePhoto, meant
from facemodels.gallery.index import GalleryIndex
from facemodels.gallery.opened import GallerySystem
from facemodels.gallery.rows import EnrolledFaces, enrolled_face, rows_of_face
from facemodels.gallery.store import changing, current_rows, keep_photo, write_rows
from facemodels.system.faces import Face

LONGEST_NAME = 200  # characters


@dataclass(frozen=True)
class EnrolmentRules:
    """How photos are enrolled.

    Attributes:
        choose: which face of a photo with several; `all` is refused, a person has one face.
        also: enrol a face that stands under another name already.
        keep_photos: keep the photos' bytes, so that the gallery can be migrated.
        threshold: similarity from which two faces are one person's; the system's own if None.
        tracked: let DVC track what came of it.
    """

    choose: FaceChoice = "error"
    also: bool = False
    keep_photos: bool = False
    threshold: float | None = None
    tracked: bool = True


@dataclass(frozen=True)
class Enrolment:
    """What an enrolment did.

    Attributes:
        person: the name.
        added: digests of the photos whose face is new.
        known: digests of the photos whose face stood under that name before.
    """

    person: str
    added: tuple[str, ...]
    known: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The values for programs."""
        return {"person": self.person, "added": list(self.added), "known": list(self.known)}


def checked_name(person: str) -> str:
    """The name of a person, as galleries keep it.

    Raises:
        InputError: it is empty, too long, or holds a character that cannot be printed.
    """
    name = person.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise InputError(
            f"{person!r} is no name of a person.",
            f"Use 1 to {LONGEST_NAME} characters that can be printed.",
        )
    return name


def enrol(
    folder: Path,
    system: GallerySystem,
    person: str,
    photos: Sequence[SourcePhoto],
    rules: EnrolmentRules | None = None,
    *,
    now: datetime | None = None,
) -> Enrolment:
    """Enrol the faces of photos under a name.

    A face of a photo that stands under that name already stays as it is, so that the same photo
    twice is one row.

    Args:
        folder: of the gallery; it is made if needed.
        system: finds and embeds the faces.
        person: the name.
        photos: each shows the person.
        rules: the defaults of `EnrolmentRules` if not given.
        now: the time of enrolment, with a time zone.

    Raises:
        FaceError: a photo has no face that can be enrolled, or the face stands under another name.
        InputError: the name is none, or the gallery is of another dimension.
        ToolError: DVC cannot track the gallery; the photos are enrolled.
    """
    rules = rules or EnrolmentRules()
    name = checked_name(person)
    if rules.choose == "all":
        raise InputError("a photo gives one face of a person.", "Choose largest, centre or error.")
    when = now or datetime.now(UTC)
    found = [(photo, _face(system, photo, rules)) for photo in photos]
    facts = system.facts(folder.name)
    threshold = system.threshold if rules.threshold is None else rules.threshold
    with changing(folder, tracked=rules.tracked):
        rows = before = current_rows(folder, facts)
        others = _Others(before, name, threshold, also=rules.also)
        added, known = [], []
        for photo, face in found:
            if _stands(rows, name, photo, face):
                known.append(photo.source)
                continue
            others.require_free(photo, face)
            new = enrolled_face(
                face, person=name, source=photo.source, when=when, system=system.name
            )
            rows = rows.joined(new)
            added.append(photo.source)
        if rules.keep_photos:
            for photo, _ in found:
                keep_photo(folder, photo.source, photo.data)
        if added:
            write_rows(folder, facts, rows)
    return Enrolment(name, tuple(added), tuple(known))


def _face(system: GallerySystem, photo: SourcePhoto, rules: EnrolmentRules) -> Face:
    faces = system.find(photo.image)
    (face,) = meant(
        photo, faces, choose=rules.choose, limits=system.limits, min_score=system.min_score
    )
    return face


def _stands(rows: EnrolledFaces, person: str, photo: SourcePhoto, face: Face) -> bool:
    """Whether the face of the photo is enrolled under that name."""
    names = rows.person[rows_of_face(rows, photo.source, face.box)]
    if (names == None).any():  # noqa: E711  (numpy compares each)
        raise FaceError(
            "nobody", photo.name, "shows a face that is marked as nobody in the gallery.",
            "Give it a name with `facemodels gallery move --nobody`.",
        )  # fmt: skip
    return bool((names == person).any())


class _Others:
    """The faces of a gallery under other names than the one that is enrolled.

    Args:
        rows: of the gallery.
        person: the name that is enrolled.
        threshold: similarity from which two faces are one person's.
        also: let every face pass.
    """

    def __init__(self, rows: EnrolledFaces, person: str, threshold: float, *, also: bool) -> None:
        self._threshold = threshold
        others = np.zeros(len(rows), np.bool_) if also else rows.person != person
        self._index = GalleryIndex(rows.take(others))

    def require_free(self, photo: SourcePhoto, face: Face) -> None:
        """Refuse a face that stands under another name."""
        (found,) = self._index.search(face.embedding[None])
        if found and found[0].similarity >= self._threshold:
            raise FaceError(
                "other_person",
                photo.name,
                f"shows a face that stands under {found[0].person} already: similarity "
                f"{found[0].similarity:.3f}, and from {self._threshold:.3f} on two faces count as "
                "one person's.",
                "Enrol it under that name, or with `--also` under this one too.",
            )

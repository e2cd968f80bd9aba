"""Photos of a person into a gallery: all of them, or none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from facemodels.errors import InputError
from facemodels.gallery.faces import FaceChoice, FaceError, SourcePhoto, meant
from facemodels.gallery.index import GalleryIndex
from facemodels.gallery.opened import GallerySystem
from facemodels.gallery.rows import EnrolledFaces, FacePlaces, enrolled_face, joined
from facemodels.gallery.store import changing, current_rows, keep_photo, write_rows
from facemodels.system.faces import Face

LONGEST_NAME = 200  # characters


@dataclass(frozen=True)
class EnrolmentRules:
    """How photos are enrolled.

    Attributes:
        choose: which face of a photo with several; `all` is refused, a person has one face.
        also: enrol a face that stands under another name already.
        leave_out: leave out a photo that is refused, and enrol the others.
        keep_photos: keep the photos' bytes, so that the gallery can be migrated.
        threshold: similarity from which two faces are one person's; if None that of the
            system for a gallery of this size, see `GallerySystem.threshold_among`.
        tracked: let DVC track what came of it.
        dry_run: find and judge the faces, and write nothing.
    """

    choose: FaceChoice = "error"
    also: bool = False
    leave_out: bool = False
    keep_photos: bool = False
    threshold: float | None = None
    tracked: bool = True
    dry_run: bool = False


@dataclass(frozen=True)
class Enrolment:
    """What an enrolment did with the photos of one person.

    Attributes:
        person: the name.
        added: digests of the photos whose face is new.
        known: digests of the photos whose face stood under that name before.
        refused: what is wrong with the photos that were left out, where that was asked for.
    """

    person: str
    added: tuple[str, ...]
    known: tuple[str, ...]
    refused: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The values for programs."""
        return {
            "person": self.person,
            "added": list(self.added),
            "known": list(self.known),
            "refused": list(self.refused),
        }


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
    (done,) = enrol_people(folder, system, {person: photos}, rules, now=now)
    return done


def enrol_people(
    folder: Path,
    system: GallerySystem,
    photos: Mapping[str, Sequence[SourcePhoto]],
    rules: EnrolmentRules | None = None,
    *,
    now: datetime | None = None,
) -> list[Enrolment]:
    """Enrol the photos of several people in one step; see `enrol`.

    Args:
        folder: of the gallery; it is made if needed.
        system: finds and embeds the faces.
        photos: by the name of the person.
        rules: the defaults of `EnrolmentRules` if not given.
        now: the time of enrolment, with a time zone.
    """
    rules = rules or EnrolmentRules()
    if rules.choose == "all":
        raise InputError("a photo gives one face of a person.", "Choose largest, centre or error.")
    batch = _Batch(system, rules, now or datetime.now(UTC))
    found: dict[str, list[tuple[SourcePhoto, Face]]] = {}
    for person, own in photos.items():
        name = checked_name(person)
        found.setdefault(name, []).extend(batch.faces(name, own))
    facts = system.facts(folder.name)
    with nullcontext() if rules.dry_run else changing(folder, tracked=rules.tracked):
        rows = before = current_rows(folder, facts)
        done = []
        for name, faces in found.items():
            rows, enrolment = batch.enrol(rows, name, faces)
            done.append(enrolment)
        if rules.dry_run:
            return done
        if rules.keep_photos:
            kept = {source for enrolment in done for source in enrolment.added + enrolment.known}
            for photo in (photo for faces in found.values() for photo, _ in faces):
                if photo.source in kept:
                    keep_photo(folder, photo.source, photo.data)
        if len(rows) > len(before):
            write_rows(folder, facts, rows)
    return done


class _Batch:
    """The photos of one enrolment.

    Args:
        system: finds and embeds the faces.
        rules: how photos are enrolled.
        when: the time of enrolment.
    """

    def __init__(self, system: GallerySystem, rules: EnrolmentRules, when: datetime) -> None:
        self._system, self._rules, self._when = system, rules, when
        self._refused: dict[str, list[str]] = {}

    def faces(self, person: str, photos: Sequence[SourcePhoto]) -> list[tuple[SourcePhoto, Face]]:
        """The face of each photo that is meant."""
        found = []
        for photo in photos:
            with self._refusals(person):
                (face,) = meant(
                    photo,
                    self._system.find(photo.image),
                    choose=self._rules.choose,
                    limits=self._system.limits,
                    min_score=self._system.min_score,
                )
                found.append((photo, face))
        return found

    def enrol(
        self, rows: EnrolledFaces, person: str, found: Sequence[tuple[SourcePhoto, Face]]
    ) -> tuple[EnrolledFaces, Enrolment]:
        """The rows with the faces of a person, and what was done."""
        others = np.zeros(len(rows), np.bool_) if self._rules.also else rows.person != person
        index = GalleryIndex(rows.take(others))
        added, known = [], []
        for photo, face in found:
            with self._refusals(person):
                if _stands(rows, person, photo, face):
                    known.append(photo.source)
                    continue
                self._require_free(index, photo, face)
                new = enrolled_face(
                    face,
                    person=person,
                    source=photo.source,
                    when=self._when,
                    system=self._system.name,
                )
                rows = joined([rows, new])
                added.append(photo.source)
        refused = tuple(self._refused.get(person, ()))
        return rows, Enrolment(person, tuple(added), tuple(known), refused)

    def _require_free(self, others: GalleryIndex, photo: SourcePhoto, face: Face) -> None:
        """Refuse a face that stands under another name."""
        (found,) = others.search(face.embedding[None])
        threshold = self._rules.threshold
        if threshold is None:
            threshold = self._system.threshold_among(len(others))
        if found and found[0].similarity >= threshold:
            raise FaceError(
                "other_person",
                photo.name,
                f"shows a face that stands under {found[0].person} already: similarity "
                f"{found[0].similarity:.3f}, and from {threshold:.3f} on two faces count as "
                "one person's.",
                "Enrol it under that name, or with `--also` under this one too.",
            )

    @contextmanager
    def _refusals(self, person: str) -> Iterator[None]:
        """Leave out a photo that is refused, where the rules say so."""
        try:
            yield
        except FaceError as error:
            if not self._rules.leave_out:
                raise
            self._refused.setdefault(person, []).append(error.what)


def _stands(rows: EnrolledFaces, person: str, photo: SourcePhoto, face: Face) -> bool:
    """Whether the face of the photo is enrolled under that name."""
    names = rows.person[FacePlaces(rows).of(photo.source, face.box)]
    if (names == None).any():  # noqa: E711  (numpy compares each)
        raise FaceError(
            "nobody", photo.name, "shows a face that is marked as nobody in the gallery.",
            f'Give it a name: `facemodels gallery move {photo.source[:12]} --nobody --to "…" '
            "--gallery …`.",
        )  # fmt: skip
    return bool((names == person).any())

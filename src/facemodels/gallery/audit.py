"""What is doubtful in a gallery: names, photos and faces that a person should look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from facemodels.gallery.index import GalleryIndex
from facemodels.gallery.rows import EnrolledFaces, FacePlaces
from facemodels.gallery.spaces import spaces_of
from facemodels.gallery.store import Gallery, kept_photos, open_gallery
from facemodels.system.quality import Quality, QualityLimits, shortfall

COPY = 0.995  # similarity from which two photos of a person are taken for one, saved again
_PHOTOS_NAMED = 12  # digits of a digest

FindingKind = Literal[
    "two_names", "same_face_twice", "low_quality", "one_photo", "photo_missing", "photo_unused",
    "not_migrated",
]  # fmt: skip


@dataclass(frozen=True)
class GalleryFinding:
    """One thing that a person should look at.

    Attributes:
        kind: what it is, for programs.
        person: whom it is about; None for nobody or a photo of no row.
        source: digest of the photo; empty where it is about all photos of the person.
        text: what was found, with the measured value.
    """

    kind: FindingKind
    person: str | None
    source: str
    text: str

    def as_json(self) -> dict[str, Any]:
        """The values for programs."""
        return dict(vars(self))


def audit_gallery(
    gallery: Gallery, *, threshold: float, limits: QualityLimits
) -> list[GalleryFinding]:
    """Look through one space of a gallery.

    Args:
        gallery: its faces.
        threshold: similarity from which two faces are one person's.
        limits: the least that a face must have.

    Returns:
        The findings: faces under two names first, then those of one face enrolled twice, poor
        faces, people with one photo, missing and unused photos, rows that other spaces lack.
    """
    rows = gallery.rows.take(gallery.rows.named)
    return [
        *_two_names(rows, gallery.index, threshold),
        *_same_face_twice(rows),
        *_low_quality(rows, limits),
        *_one_photo(rows),
        *_photos(gallery),
        *_not_migrated(gallery),
    ]


def _two_names(
    rows: EnrolledFaces, index: GalleryIndex, threshold: float
) -> Iterator[GalleryFinding]:
    # The best two people of a face are its own and the most alike other one.
    for person, source, embedding in zip(rows.person, rows.source, rows.embedding, strict=True):
        (found,) = index.search(embedding[None], top=2)
        for match in found:
            if match.person != person and match.similarity >= threshold:
                yield GalleryFinding(
                    "two_names", person, source,
                    f"looks like {match.person}: similarity {match.similarity:.3f}, and from "
                    f"{threshold:.3f} on two faces count as one person's",
                )  # fmt: skip


def _same_face_twice(rows: EnrolledFaces) -> Iterator[GalleryFinding]:
    places: dict[str, list[int]] = {}
    for place, person in enumerate(rows.person):
        places.setdefault(person, []).append(place)
    for person, own in places.items():
        alike = rows.embedding[own] @ rows.embedding[own].T
        for later in range(1, len(own)):
            earlier = int(alike[later, :later].argmax())
            if alike[later, earlier] >= COPY:
                yield GalleryFinding(
                    "same_face_twice", person, rows.source[own[later]],
                    f"is nearly the face of {rows.source[own[earlier]][:_PHOTOS_NAMED]}: "
                    f"similarity {alike[later, earlier]:.4f}",
                )  # fmt: skip


def _low_quality(rows: EnrolledFaces, limits: QualityLimits) -> Iterator[GalleryFinding]:
    for row in range(len(rows)):
        lack = shortfall(Quality(float(rows.eyes[row]), float(rows.sharpness[row])), limits)
        if lack is not None:
            yield GalleryFinding("low_quality", rows.person[row], rows.source[row], str(lack))


def _one_photo(rows: EnrolledFaces) -> Iterator[GalleryFinding]:
    for person, count in Counter(rows.person.tolist()).items():
        if count == 1:
            yield GalleryFinding("one_photo", person, "", "has one photo; two or more find better")


def _photos(gallery: Gallery) -> Iterator[GalleryFinding]:
    kept = kept_photos(gallery.folder)
    for person, source in zip(gallery.rows.person, gallery.rows.source, strict=True):
        if source not in kept:
            yield GalleryFinding(
                "photo_missing", person, source,
                "its photo is not kept: it cannot be migrated without --photos",
            )  # fmt: skip
    spaces = spaces_of(gallery.folder)
    named = {s for space in spaces for s in open_gallery(gallery.folder, space).rows.source}
    for source in sorted(kept.keys() - named):
        yield GalleryFinding("photo_unused", None, source, "no face is of this photo")


def _not_migrated(gallery: Gallery) -> Iterator[GalleryFinding]:
    for space in spaces_of(gallery.folder):
        if space == gallery.facts.embedding_space:
            continue
        other = open_gallery(gallery.folder, space).rows
        places, rows = FacePlaces(other), gallery.rows
        for person, source, box in zip(rows.person, rows.source, rows.box, strict=True):
            if person not in other.person[places.of(source, box)].tolist():
                yield GalleryFinding("not_migrated", person, source, f"is not in {space}")

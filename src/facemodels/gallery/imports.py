"""Brings people into a gallery from folders of photos, or from an exported file."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facemodels.errors import DataError, InputError
from facemodels.gallery.enrol import Enrolment, EnrolmentRules, checked_name, enrol_people
from facemodels.gallery.exports import person_of, read_table
from facemodels.gallery.faces import read_photo
from facemodels.gallery.index import GalleryIndex
from facemodels.gallery.opened import GallerySystem
from facemodels.gallery.rows import EnrolledFaces, FacePlaces, joined
from facemodels.gallery.store import changing, current_rows, write_rows
from facemodels.imaging import EXTENSIONS


def import_photos(
    folder: Path, system: GallerySystem, photos: Path, rules: EnrolmentRules
) -> list[Enrolment]:
    """Enrol a folder of photos for each person, in one step.

    Args:
        folder: of the gallery.
        system: finds and embeds the faces.
        photos: holds a folder named after each person, with photos of that person.
        rules: how they are enrolled.

    Raises:
        FaceError: a photo is refused, and the rules do not leave it out.
        DataError: there is no photo.
    """
    files = {
        person_of(place.name): sorted(p for p in place.iterdir() if p.suffix.lower() in EXTENSIONS)
        for place in sorted(photos.iterdir())
        if place.is_dir() and not place.name.startswith(".")
    }
    if not any(files.values()):
        raise DataError(
            f"{photos} has no photos.", "Give a folder that holds one folder for each person."
        )
    read = {person: [read_photo(path) for path in paths] for person, paths in files.items()}
    return enrol_people(folder, system, read, rules)


def import_table(
    folder: Path,
    system: GallerySystem,
    table: Path,
    *,
    also: bool = False,
    identity: Path | None = None,
    tracked: bool = True,
    dry_run: bool = False,
) -> int:
    """Add the faces of an exported file that the gallery does not have.

    Args:
        folder: of the gallery.
        system: of the embedding space of the file.
        table: the file.
        also: even those that stand under another name.
        identity: the file of the secret key of age, where it is encrypted.
        tracked: let DVC track what came of it.
        dry_run: write nothing.

    Returns:
        The number of faces that are new.

    Raises:
        InputError: the file is of another embedding space than the system, or a face stands under
            another name.
        DataError: it is no export of a gallery.
    """
    rows, space = read_table(table, identity)
    rows = rows.unique()
    if space != system.space:
        raise InputError(
            f"{table} has faces of {space}, and the system is of {system.space}.",
            "Import it with a system of its space and migrate that gallery, or import the photos.",
        )
    if rows.embedding.shape[1] != system.dimension:
        raise DataError(f"{table} has embeddings of length {rows.embedding.shape[1]}.")
    for person in set(rows.person[rows.named]):
        checked_name(person)
    facts = system.facts(folder.name)
    with nullcontext() if dry_run else changing(folder, tracked=tracked):
        known = current_rows(folder, facts)
        new = rows.take(_new(rows, known))
        if not also:
            _require_free(new, known, system.threshold)
        if len(new) and not dry_run:
            write_rows(folder, facts, joined([known, new]))
    return len(new)


def _new(rows: EnrolledFaces, known: EnrolledFaces) -> NDArray[np.bool_]:
    """bool (N,): the rows that the gallery does not have; a face that is nobody there stays so."""
    places = FacePlaces(known)

    def is_new(person: str | None, source: str, box: NDArray[np.float32]) -> bool:
        names = known.person[places.of(source, box)].tolist()
        return not names or not (person is None or None in names or person in names)

    return np.array([
        is_new(person, source, box)
        for person, source, box in zip(rows.person, rows.source, rows.box, strict=True)
    ], np.bool_)  # fmt: skip


def _require_free(rows: EnrolledFaces, known: EnrolledFaces, threshold: float) -> None:
    index = GalleryIndex(known)
    taken: Counter[tuple[str, str]] = Counter()
    for person, embedding in zip(rows.person, rows.embedding, strict=True):
        if person is None:
            continue
        for match in index.search(embedding[None], top=2)[0]:
            if match.person != person and match.similarity >= threshold:
                taken[person, match.person] += 1
    if taken:
        (person, other), count = taken.most_common(1)[0]
        raise InputError(
            f"{count} faces of {person} stand under {other} already, from a similarity of "
            f"{threshold:.3f} on.",
            "Import them with --also, or merge the two.",
        )

"""Mends mistakes: moves or marks the face of a photo, merges or removes people, drops a space."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemodels.errors import InputError
from facemodels.gallery.enrol import checked_name
from facemodels.gallery.rows import EnrolledFaces
from facemodels.gallery.spaces import FACTS, read_facts, space_folder, spaces_of
from facemodels.gallery.store import changing, kept_photos, open_gallery, write_rows
from facemodels.gallery.work import discard_embedded

_Mask = NDArray[np.bool_]
_Change = Callable[[EnrolledFaces, _Mask], EnrolledFaces]


@dataclass(frozen=True)
class GalleryEdit:
    """What an edit did.

    Attributes:
        faces: rows that it changed or removed, by embedding space.
        photos: digests of kept photos that it deleted.
    """

    faces: dict[str, int]
    photos: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The values for programs."""
        return {"faces": self.faces, "photos": list(self.photos)}


def move(
    folder: Path, source: str, *, person: str | None, to: str, tracked: bool = True
) -> GalleryEdit:
    """Give the face of one photo another name.

    Args:
        folder: of the gallery.
        source: digest of the photo, or its first digits.
        person: under whom it stands; None where it is marked as nobody.
        to: the other name.
        tracked: let DVC track what came of it.

    Raises:
        InputError: there is no such photo of that person, or more than one.
    """
    name = checked_name(to)
    return _edit(
        folder,
        lambda rows: _of_photo(rows, source, person),
        lambda rows, which: rows.renamed(which, name),
        f"a photo {source[:16]} of {person or 'nobody'}",
        tracked=tracked,
    )


def mark_as_nobody(folder: Path, source: str, *, person: str, tracked: bool = True) -> GalleryEdit:
    """Take the name off the face of one photo; no search finds it any more.

    Raises:
        InputError: there is no such photo of that person, or more than one.
    """
    return _edit(
        folder,
        lambda rows: _of_photo(rows, source, person),
        lambda rows, which: rows.renamed(which, None),
        f"a photo {source[:16]} of {person}",
        tracked=tracked,
    )


def merge(folder: Path, person: str, *, into: str, tracked: bool = True) -> GalleryEdit:
    """Give all faces of one person to another.

    Raises:
        InputError: one of the two has no face in the gallery, or both are the same.
    """
    if person == into:
        raise InputError(f"{person} cannot be merged into {into}: it is one name.")
    _require_person(folder, into)
    return _edit(
        folder,
        lambda rows: rows.person == person,
        lambda rows, which: rows.renamed(which, into),
        person,
        tracked=tracked,
    )


def remove_person(folder: Path, person: str, *, tracked: bool = True) -> GalleryEdit:
    """Delete all faces of a person, and the photos that no other face is of.

    It can be run again after it was killed: photos that no row names are deleted too.

    Raises:
        InputError: nobody of that name is in the gallery, and no photo is left over.
    """
    return _edit(
        folder,
        lambda rows: rows.person == person,
        lambda rows, which: rows.take(~which),
        person,
        tracked=tracked,
        removes=True,
    )


def remove_photo(
    folder: Path, source: str, *, person: str | None, tracked: bool = True
) -> GalleryEdit:
    """Delete the face of one photo, and the photo where no other face is of it.

    Raises:
        InputError: there is no such photo of that person, or more than one.
    """
    return _edit(
        folder,
        lambda rows: _of_photo(rows, source, person),
        lambda rows, which: rows.take(~which),
        f"a photo {source[:16]} of {person or 'nobody'}",
        tracked=tracked,
        removes=True,
    )


def drop_space(folder: Path, space: str, *, accept_loss: bool = False, tracked: bool = True) -> int:
    """Delete the faces of one embedding space, after every version that needs it has ended.

    Args:
        folder: of the gallery.
        space: whose faces go.
        accept_loss: even those that no other space has.
        tracked: let DVC track what came of it.

    Returns:
        The number of its faces.

    Raises:
        SpaceError: the gallery has no such space.
        InputError: it is the only space, or has faces that no other has and none may be lost.
    """
    with changing(folder, tracked=tracked):
        count = droppable(folder, space, accept_loss=accept_loss)
        place = space_folder(folder, space)
        (place / FACTS).unlink()  # first: with it the space counts no more
        shutil.rmtree(place)
        discard_embedded(folder)
    return count


def droppable(folder: Path, space: str, *, accept_loss: bool = False) -> int:
    """The number of faces of a space that can be dropped; see `drop_space`."""
    read_facts(folder, space)
    sources = {one: open_gallery(folder, one).rows.source.tolist() for one in spaces_of(folder)}
    own = sources.pop(space)
    if not sources:
        raise InputError(
            f"{folder} has no other embedding space than {space}.",
            f"Migrate it first: `facemodels gallery migrate {folder.name} --to PACKAGE`.",
        )
    only = set(own).difference(*sources.values())
    if only and not accept_loss:
        raise InputError(
            f"{len(only)} photos of {folder} have faces in {space} alone.",
            f"Run `facemodels gallery migrate {folder.name} --to PACKAGE` for the new system, or "
            "accept their loss with --accept-loss.",
        )
    return len(own)


def _edit(
    folder: Path,
    which: Callable[[EnrolledFaces], _Mask],
    change: _Change,
    what: str,
    *,
    tracked: bool,
    removes: bool = False,
) -> GalleryEdit:
    """Change the rows that are meant in each space, then delete photos that no row names."""
    with changing(folder, tracked=tracked):
        spaces = [open_gallery(folder, space) for space in spaces_of(folder)]
        masks = [which(gallery.rows) for gallery in spaces]
        found = any(mask.any() for mask in masks)
        named: set[str] = set()
        for gallery, mask in zip(spaces, masks, strict=True):
            rows = change(gallery.rows, mask) if mask.any() else gallery.rows
            if mask.any():
                write_rows(folder, gallery.facts, rows)
            named.update(rows.source)
        unnamed = [path for digest, path in kept_photos(folder).items() if digest not in named]
        if not found and not (removes and unnamed):
            raise InputError(
                f"{folder} has no {what}.",
                f"`facemodels gallery list --gallery {folder.name}` shows everybody.",
            )
        for path in unnamed:
            path.unlink()
        if removes:
            discard_embedded(folder)
    counts = {
        gallery.facts.embedding_space: int(mask.sum())
        for gallery, mask in zip(spaces, masks, strict=True)
    }
    return GalleryEdit(counts, tuple(path.name for path in unnamed))


def _of_photo(rows: EnrolledFaces, source: str, person: str | None) -> _Mask:
    """The rows of one photo and one name.

    Raises:
        InputError: the digits fit the photos of several.
    """
    fits = np.array([digest.startswith(source) for digest in rows.source], np.bool_)
    fits &= ~rows.named if person is None else rows.person == person
    if len(set(rows.source[fits])) > 1:
        raise InputError(f"{source!r} begins the digests of several photos.", "Give more digits.")
    return fits


def _require_person(folder: Path, person: str) -> None:
    for space in spaces_of(folder):
        if (open_gallery(folder, space).rows.person == person).any():
            return
    raise InputError(
        f"{folder} has no {person}.",
        f"`facemodels gallery list --gallery {folder.name}` shows everybody.",
    )

"""Embeds a gallery's photos anew for a system of another embedding space.

Faces that were embedded are put aside in `galleries/.work/<name>/`, so that a migration that was
killed goes on where it was. Both spaces then lie side by side: each version answers from its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from facemodels.errors import DataError, InputError
from facemodels.files import list_files, sha256
from facemodels.gallery.faces import read_photo
from facemodels.gallery.opened import GallerySystem
from facemodels.gallery.parquet import read_faces, write_faces
from facemodels.gallery.rows import (
    EnrolledFaces,
    FacePlaces,
    distinct,
    enrolled_face,
    joined,
    no_faces,
)
from facemodels.gallery.spaces import FACES, spaces_of
from facemodels.gallery.store import (
    changing,
    current_rows,
    open_gallery,
    photo_path,
    write_rows,
)
from facemodels.gallery.work import work_folder
from facemodels.imaging import EXTENSIONS, ImageError
from facemodels.progress import progress
from facemodels.system.faces import Face

_EVERY = 50  # photos between two times that what was embedded is put aside


@dataclass(frozen=True)
class LostFace:
    """An enrolled face that the other system cannot embed.

    Attributes:
        person: the name; None for nobody.
        source: digest of the photo.
        reason: why.
    """

    person: str | None
    source: str
    reason: str


@dataclass(frozen=True)
class Migration:
    """A gallery in another embedding space.

    Attributes:
        old: the space that it was migrated from.
        new: the space that it has beside it now.
        added: faces that are new in it.
        lost: faces that were left out.
    """

    old: str
    new: str
    added: int
    lost: tuple[LostFace, ...]

    def as_json(self) -> dict[str, Any]:
        """The values for programs."""
        lost = [vars(face) for face in self.lost]
        return {"old": self.old, "new": self.new, "added": self.added, "lost": lost}


def migrate(
    folder: Path,
    system: GallerySystem,
    *,
    old: str | None = None,
    photos: Path | None = None,
    leave_out: bool = False,
    tracked: bool = True,
    every: int = _EVERY,
) -> Migration:
    """Give a gallery the faces of another system's embedding space, beside those that it has.

    Who is enrolled, moved or removed meanwhile is minded: the rows that count are those at the
    end. Run it again after more people were enrolled in the old space.

    Args:
        folder: of the gallery.
        system: the other system.
        old: the space to migrate from; the only other one if None.
        photos: a folder with the photos that the gallery itself does not keep.
        leave_out: leave out faces whose photo is missing or in which the system finds none.
        tracked: let DVC track what came of it.
        every: photos between two times that what was embedded is put aside.

    Raises:
        InputError: there is no such gallery or space, or several to choose from.
        DataError: a face cannot be embedded; what could be is put aside.
    """
    source_space = _source_space(folder, system.space, old)
    work = _Work(folder, system, _by_digest(photos))
    while True:
        pending = work.pending(open_gallery(folder, source_space).rows)
        with progress(f"embed photos of {folder.name}", len(pending)) as advance:
            for start in range(0, len(pending), every):
                batch = pending[start : start + every]
                work.embed(batch)
                with changing(folder, tracked=False):
                    work.put_aside(open_gallery(folder, source_space).rows)
                advance(len(batch))
        with changing(folder, tracked=tracked):
            rows = open_gallery(folder, source_space).rows
            if work.pending(rows):
                continue
            return _finish(folder, system, source_space, rows, work, leave_out=leave_out)


def _finish(
    folder: Path,
    system: GallerySystem,
    old: str,
    rows: EnrolledFaces,
    work: _Work,
    *,
    leave_out: bool,
) -> Migration:
    facts = system.facts(folder.name)
    known = current_rows(folder, facts)
    new, lost = work.migrated(rows, known)
    if lost and not leave_out:
        few = "; ".join(f"{f.person or 'nobody'} ({f.source[:12]}): {f.reason}" for f in lost[:5])
        raise DataError(
            f"{len(lost)} of {len(rows)} faces cannot be migrated: {few}.",
            "Give the folder of the photos with --photos, enrol these people anew, or leave the "
            "faces out with --leave-out. What was embedded is kept for the next run.",
        )
    if len(new) or not len(known):
        write_rows(folder, facts, joined([known, new]))
    shutil.rmtree(work.folder, ignore_errors=True)
    return Migration(old, system.space, len(new), tuple(lost))


class _Work:
    """The faces of photos in the new space, as far as they were embedded.

    Args:
        folder: of the gallery.
        system: the other system.
        photos: files of photos that the gallery does not keep, by digest.
    """

    def __init__(self, folder: Path, system: GallerySystem, photos: Mapping[str, Path]) -> None:
        self.folder = work_folder(folder) / system.space
        self._gallery, self._system, self._photos = folder, system, photos
        self._file = self.folder / FACES
        self._done = self._resumed()
        self._tried: dict[str, str] = {}  # why a photo gave no face, or no more

    def _resumed(self) -> EnrolledFaces:
        if not self._file.is_file():
            return no_faces(self._system.dimension)
        done = read_faces(self._file, self._system.dimension)
        return done.take(done.system == self._system.name)

    def pending(self, rows: EnrolledFaces) -> list[str]:
        """The digests of photos with a face that is neither embedded nor given up yet."""
        facts = self._system.facts(self._gallery.name)
        known, done = FacePlaces(current_rows(self._gallery, facts)), FacePlaces(self._done)
        return sorted({
            source
            for source, box in zip(rows.source, rows.box, strict=True)
            if source not in self._tried
            and not len(done.of(source, box))
            and not len(known.of(source, box))
        })  # fmt: skip

    def embed(self, sources: Sequence[str]) -> None:
        """Embed all faces of photos; those without a file are given up."""
        found = [self._done]
        for source in sources:
            found += [
                enrolled_face(
                    face, person=None, source=source, when=_EPOCH, system=self._system.name
                )
                for face in self._faces(source)
            ]
        self._done = joined(found)

    def _faces(self, source: str) -> list[Face]:
        kept = photo_path(self._gallery, source)
        path = kept if kept.is_file() else self._photos.get(source)
        if path is None:
            self._tried[source] = "its photo is missing"
            return []
        self._tried[source] = "no such face is found in its photo"
        try:
            image = read_photo(path).image
        except ImageError as error:  # also where it was removed a moment ago
            self._tried[source] = error.reason
            return []
        return distinct(self._system.find(image))

    def put_aside(self, rows: EnrolledFaces) -> None:
        """Write what was embedded, of faces that the gallery still has."""
        done = FacePlaces(self._done)
        wanted = [done.of(s, box) for s, box in zip(rows.source, rows.box, strict=True)]
        self._done = self._done.take(np.unique(np.concatenate([*wanted, np.empty(0, np.intp)])))
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_faces(self._file, self._done)

    def migrated(
        self, rows: EnrolledFaces, known: EnrolledFaces
    ) -> tuple[EnrolledFaces, list[LostFace]]:
        """The rows that are new in the other space, and the faces that are lost."""
        # A face that got one more name since the last run is in the other space already.
        pool = joined([self._done, known])
        before, embedded = FacePlaces(known), FacePlaces(pool)
        kept, places, lost = [], [], []
        for row, (person, source) in enumerate(zip(rows.person, rows.source, strict=True)):
            if person in known.person[before.of(source, rows.box[row])].tolist():
                continue
            found = embedded.of(source, rows.box[row])
            if len(found):
                kept.append(row)
                places.append(found[0])
            else:
                lost.append(LostFace(person, source, self._tried[source]))
        old = rows.take(np.array(kept, np.intp))
        columns = pool.take(np.array(places, np.intp)).columns()
        return EnrolledFaces(**{**columns, "person": old.person, "enrolled": old.enrolled}), lost


_EPOCH = datetime.fromtimestamp(0, UTC)  # of faces that are put aside; rows have their own times


def _source_space(folder: Path, new: str, old: str | None) -> str:
    """The space that is migrated from."""
    others = [space for space in spaces_of(folder) if space != new]
    if old is not None:
        others = [old]
    if not others:
        open_gallery(folder, new)  # says where no gallery is
        raise InputError(f"{folder} has faces of {new} only: nothing is to be migrated.")
    if len(others) > 1:
        raise InputError(
            f"{folder} has faces of {' and '.join(others)}.", "Name one of them with --from."
        )
    return others[0]


def _by_digest(folder: Path | None) -> dict[str, Path]:
    """The photos below a folder, by their digest."""
    files = [] if folder is None else [folder / name for name in list_files(folder)]
    return {sha256(path): path for path in files if path.suffix.lower() in EXTENSIONS}

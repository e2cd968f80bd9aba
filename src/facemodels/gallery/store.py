"""Opens a gallery, and changes it: one process at a time, old or new after a kill at any moment.

Each file is replaced at once, and gallery.json, which makes a space count, comes last.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from facemodels.errors import InputError
from facemodels.files import atomic_path, canonical_json, refuse_file
from facemodels.gallery.index import GalleryIndex
from facemodels.gallery.rows import EnrolledFaces, no_faces
from facemodels.gallery.spaces import (
    FACES,
    FACTS,
    PHOTOS,
    SpaceFacts,
    read_facts,
    space_folder,
    spaces_of,
)
from facemodels.gallery.tracking import track
from facemodels.gallery.work import make_private, sweep

Revision = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Gallery:
    """The faces of one embedding space of a gallery.

    Attributes:
        folder: of the gallery.
        facts: of the space.
        rows: the faces, sorted by person.
    """

    folder: Path
    facts: SpaceFacts
    rows: EnrolledFaces

    @property
    def name(self) -> str:
        """The name of the gallery."""
        return self.folder.name

    @cached_property
    def index(self) -> GalleryIndex:
        """The index of the people, built when it is first asked for."""
        return GalleryIndex(self.rows)


def open_gallery(folder: Path, space: str) -> Gallery:
    """Read the faces of one space of a gallery.

    Args:
        folder: see `spaces.gallery_folder`.
        space: the embedding space of the system that answers.

    Raises:
        InputError: there is no such gallery.
        SpaceError: it has faces of other spaces only.
        DataError: a file is not of this format.
    """
    from facemodels.gallery.parquet import read_faces  # most servers have no gallery

    facts = read_facts(folder, space)
    rows = read_faces(space_folder(folder, space) / FACES, facts.dimension)
    return Gallery(folder, facts, rows)


def revision(folder: Path, space: str) -> Revision | None:
    """What changes whenever the faces of a space change; None where there are none.

    A server compares it with that of the faces that it has loaded.
    """
    try:
        found = (space_folder(folder, space) / FACES).stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


@contextmanager
def changing(folder: Path, *, tracked: bool = True) -> Iterator[None]:
    """Let only this process change the gallery in the block; DVC tracks what came of it.

    The lock is on the folder above, as `dvc checkout` may replace the gallery's own. The kernel
    releases it with the process, also after SIGKILL.

    Args:
        folder: of the gallery.
        tracked: `dvc add` it at the end of the block, where it lies in a repository of DVC.

    Raises:
        ToolError: DVC cannot add it; the change stays.
    """
    refuse_file(folder.parent)
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(folder.parent, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        sweep(folder)
        yield
        if tracked:
            track(folder)
    finally:
        os.close(lock)


def current_rows(folder: Path, facts: SpaceFacts) -> EnrolledFaces:
    """The faces of a space; no row where the gallery has none of it yet.

    Raises:
        InputError: the space there has another dimension.
        DataError: a file is not of this format.
    """
    if facts.embedding_space not in spaces_of(folder):
        return no_faces(facts.dimension)
    found = open_gallery(folder, facts.embedding_space)
    if found.facts.dimension != facts.dimension:
        raise InputError(
            f"{folder} has embeddings of length {found.facts.dimension}, and the system gives "
            f"{facts.dimension}."
        )
    return found.rows


def write_rows(folder: Path, facts: SpaceFacts, rows: EnrolledFaces) -> None:
    """Replace the faces of a space; call it inside of `changing`."""
    from facemodels.gallery.parquet import write_faces

    place = space_folder(folder, facts.embedding_space)
    make_private(folder, place)
    write_faces(place / FACES, rows)
    if not (place / FACTS).is_file():
        with atomic_path(place / FACTS, mode=0o600) as temporary:
            temporary.write_text(canonical_json(facts.as_json()), encoding="utf-8")


def photo_path(folder: Path, source: str) -> Path:
    """Where a gallery keeps a photo, if it keeps it."""
    return folder / PHOTOS / source


def keep_photo(folder: Path, source: str, data: bytes) -> None:
    """Keep the bytes of a photo; call it inside of `changing`, before its rows are written."""
    path = photo_path(folder, source)
    if path.is_file():
        return
    make_private(folder, path.parent)
    with atomic_path(path, mode=0o600) as temporary:
        temporary.write_bytes(data)


def kept_photos(folder: Path) -> dict[str, Path]:
    """The photos that a gallery keeps, by their digest."""
    return {path.name: path for path in sorted((folder / PHOTOS).glob("*")) if path.is_file()}

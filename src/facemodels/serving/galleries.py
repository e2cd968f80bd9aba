"""The galleries of a server: their faces as they are on disk now, in the space of its system."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog

from facemodels.errors import DataError, InputError
from facemodels.gallery.opened import GallerySystem
from facemodels.gallery.spaces import gallery_folder, spaces_of
from facemodels.gallery.store import Gallery, Revision, open_gallery, revision


def galleries_given(texts: tuple[str, ...], root: Path) -> dict[str, Path]:
    """The folders of galleries, by the name under which clients ask for them.

    Args:
        texts: of each, NAME=FOLDER, or NAME for a gallery of the repository.
        root: of the repository.

    Raises:
        InputError: a name is none, or it is given twice.
    """
    found: dict[str, Path] = {}
    for text in texts:
        name, given, folder = text.partition("=")
        default = gallery_folder(name, root)
        if "/" in name or name in found:
            raise InputError(f"{text!r} is no gallery, or its name is given twice.", "NAME=FOLDER")
        found[name] = Path(folder) if given else default
    return found


class ServedGalleries:
    """Galleries by name; each is read again when its file has changed.

    A file is replaced as a whole by whoever changes it. If it cannot be read all the same, as in
    the middle of a checkout, its last good state stays, and the log says so.

    Args:
        folders: of the galleries, by name.
        system: the system that answers.

    Attributes:
        folders: likewise.
        system: likewise.
    """

    def __init__(self, folders: Mapping[str, Path], system: GallerySystem) -> None:
        self.folders = dict(folders)
        self.system = system
        self._read: dict[str, tuple[Revision | None, Gallery]] = {}
        self._lock = threading.Lock()
        self._log = structlog.get_logger("facemodels.serving")
        for name, folder in self.folders.items():
            self._announce(name, spaces_of(folder))

    def _announce(self, name: str, spaces: tuple[str, ...]) -> None:
        """Say at the start what clients will be told: a server answers without its galleries."""
        own = self.system.space
        if not spaces:
            self._log.warning("gallery without faces", gallery=name, embedding_space=own)
        elif own not in spaces:
            self._log.warning(
                "gallery of another space", gallery=name, embedding_space=own, found=list(spaces)
            )
        else:
            self._read_early(name)

    def _read_early(self, name: str) -> None:
        """Read a gallery before the first request, which would wait a second for it."""
        try:
            self.opened(name)
        except DataError as error:
            self._log.warning("gallery unreadable", gallery=name, reason=type(error).__name__)

    def opened(self, name: str) -> Gallery:
        """The faces of a gallery in the space of the system.

        Raises:
            SpaceError: it has faces of other spaces only.
            InputError: there is none of that name, or it has no faces yet.
            DataError: its file cannot be read, and never could be since the server started.
        """
        if name not in self.folders:
            raise InputError("this server has no such gallery.")
        folder, space = self.folders[name], self.system.space
        with self._lock:
            now = revision(folder, space)  # taken before reading: a later write gives another one
            known = self._read.get(name)
            if known is not None and known[0] == now:
                return known[1]
            if now is None:
                self._read.pop(name, None)
            try:
                found = open_gallery(folder, space)
            except DataError as error:
                if known is None or now is None:
                    raise
                self._log.warning("gallery unchanged", gallery=name, reason=type(error).__name__)
                found = known[1]
            self._read[name] = (now, found)
            return found

    def described(self) -> list[dict[str, Any]]:
        """Each gallery: its name, its spaces, and how many people and faces the system's has."""
        return [self._described(name, folder) for name, folder in self.folders.items()]

    def _described(self, name: str, folder: Path) -> dict[str, Any]:
        people = faces = 0
        try:
            index = self.opened(name).index
            people, faces = len(index.people), len(index)
        except InputError:  # a gallery of other spaces, or without a face
            pass
        return {"name": name, "spaces": list(spaces_of(folder)), "people": people, "faces": faces}

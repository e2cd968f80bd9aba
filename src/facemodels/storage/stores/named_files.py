"""Files beside the objects of a remote, by name below its URL: bundles, manifests."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeVar

from facemodels.errors import IntegrityError
from facemodels.storage.stores.errors import Patience, Retries, explain
from facemodels.storage.stores.object_store import Place

Result = TypeVar("Result")
_OBJECTS = "/files/md5"  # DVC's folder below a remote's URL
_BLOCK = 1 << 20  # bytes read at once


class Shelf:
    """The folder that a remote's URL names, above DVC's own `files/md5`.

    All methods raise `AccessError`, `FullError` or `TransientError` as those of `Place` do.

    Args:
        place: the remote.
        patience: with a store that does not answer; None: the usual.
    """

    def __init__(self, place: Place, patience: Patience | None = None) -> None:
        self.place = place
        self._fs = place.odb.fs
        self._base = str(place.odb.path).removesuffix(_OBJECTS)
        self._retries = Retries(patience)

    @property
    def url(self) -> str:
        """Where it is, without credentials."""
        return self.place.url.removesuffix(_OBJECTS)

    def path(self, name: str) -> str:
        """Where a file lies, as its file system names it."""
        return f"{self._base}/{name}"

    def read(self, name: str) -> bytes | None:
        """A small file; None if it is not there."""

        def read() -> bytes | None:
            try:
                with self._fs.open(self.path(name), "rb") as stream:
                    return bytes(stream.read())
            except FileNotFoundError:
                return None

        return self._do(read)

    def digest(self, name: str) -> str | None:
        """Hex SHA-256 of a file as it is there now; None if it is not there."""

        def read() -> str | None:
            try:
                return self._copy(name, None)
            except FileNotFoundError:
                return None

        return self._do(read)

    def fetch(self, name: str, target: Path, sha256: str) -> None:
        """Copy a file from there, checked.

        Raises:
            IntegrityError: it is not there, or has another digest.
        """

        def fetch() -> str | None:
            try:
                with target.open("wb") as copy:
                    return self._copy(name, copy)
            except FileNotFoundError:
                return None

        digest = self._do(fetch)
        if digest is None:
            raise IntegrityError(f"{name} is not in {self.place.name}")
        if digest != sha256:
            raise IntegrityError(f"{name} in {self.place.name} is not what it was")

    def _copy(self, name: str, copy: BinaryIO | None) -> str:
        total = hashlib.sha256()
        with self._fs.open(self.path(name), "rb") as stream:
            while block := stream.read(_BLOCK):
                total.update(block)
                if copy is not None:
                    copy.write(block)
        return total.hexdigest()

    def send(self, source: Path, name: str) -> None:
        """Copy a file there, whole or not at all; whatever had the name is replaced."""
        path = self.path(name)

        def send() -> None:
            self._fs.makedirs(self._fs.parent(path), exist_ok=True)
            self._fs.put_file(str(source), path)

        self._do(send)

    def write(self, name: str, data: bytes) -> None:
        """Write a small file there, as `send` does."""
        with tempfile.TemporaryDirectory(prefix="facemodels-") as folder:
            source = Path(folder, "data")
            source.write_bytes(data)
            self.send(source, name)

    def _do(self, act: Callable[[], Result]) -> Result:
        def attempt() -> Result:
            try:
                self._fs.fs.invalidate_cache()
                return act()
            # Each cloud's library has errors of its own, without a common base.
            except Exception as error:
                raise explain(self.place.name, self.url, error) from error

        return self._retries(attempt)

"""Files that lie in a remote under a name of their own: archives, bundles, manifests."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeVar

from facemodels.errors import IntegrityError
from facemodels.storage.stores.errors import wrap_error
from facemodels.storage.stores.object_info import ObjectInfo, read_info, written
from facemodels.storage.stores.object_store import ObjectStore, path_below
from facemodels.storage.stores.retries import Patience, Retries, settle

Result = TypeVar("Result")
_OBJECTS = "/files/md5"  # DVC's folder below a remote's URL
_BLOCK = 1 << 20  # bytes read at once


class NamedFiles:
    """Reads and writes files by name below a remote's URL, beside DVC's own `files/md5`.

    All methods raise `AccessError`, `FullError` or `TransientError` as those of `ObjectStore` do.

    Args:
        store: the remote.
        patience: how long the remote may be away; None: the defaults of `Patience`.
    """

    def __init__(self, store: ObjectStore, patience: Patience | None = None) -> None:
        self.store = store
        self._fs = store.odb.fs
        self._base = str(store.odb.path).removesuffix(_OBJECTS)
        self._retries = Retries(patience)

    @property
    def url(self) -> str:
        """The URL of the remote, without credentials."""
        return self.store.url.removesuffix(_OBJECTS)

    def path(self, name: str) -> str:
        """The path of a file, as the file system of the remote names it."""
        return f"{self._base}/{name}"

    def read(self, name: str) -> bytes | None:
        """The bytes of a small file; None if it is not there."""

        def read() -> bytes | None:
            try:
                with self._fs.open(self.path(name), "rb") as stream:
                    return bytes(stream.read())
            except FileNotFoundError:
                return None

        return self._do(read)

    def info(self, name: str) -> ObjectInfo | None:
        """What the remote says of a file; None if it is not there."""

        def ask() -> ObjectInfo | None:
            try:
                return read_info(self._fs.info(self.path(name)))
            except FileNotFoundError:
                return None

        return self._do(ask)

    def dates(self, folder: str) -> dict[str, float]:
        """When each file below a folder was written, in seconds since 1970, by its name."""
        path = self.path(folder)

        def ask() -> dict[str, float]:
            try:
                found = list(self._fs.fs.find(path))  # DVC's of a folder gives no details
            except FileNotFoundError:
                return {}
            facts = {one: self._fs.fs.info(one) for one in found}
            return {f"{folder}/{path_below(path, one)}": written(facts[one]) for one in found}

        return self._do(ask)

    def digest(self, name: str) -> str | None:
        """The hexadecimal SHA-256 of a file as it is there now; None if it is not there."""

        def read() -> str | None:
            try:
                return self._copy(name, None)
            except FileNotFoundError:
                return None

        return self._do(read)

    def fetch(self, name: str, target: Path, sha256: str) -> None:
        """Copy a file from the remote and check its digest.

        Raises:
            IntegrityError: the file is not there, or has another digest.
        """

        def fetch() -> str | None:
            try:
                with target.open("wb") as copy:
                    return self._copy(name, copy)
            except FileNotFoundError:
                return None

        digest = self._do(fetch)
        if digest is None:
            raise IntegrityError(f"{name} is not in {self.store.name}")
        if digest != sha256:
            raise IntegrityError(f"{name} in {self.store.name} is not what it was")

    def _copy(self, name: str, copy: BinaryIO | None) -> str:
        total = hashlib.sha256()
        with self._fs.open(self.path(name), "rb") as stream:
            while block := stream.read(_BLOCK):
                total.update(block)
                if copy is not None:
                    copy.write(block)
        return total.hexdigest()

    def send(self, source: Path, name: str, *, storage_class: str = "") -> None:
        """Copy a file to the remote, whole or not at all, and replace what has the name.

        Args:
            source: the file.
            name: its name below the remote's URL.
            storage_class: one of S3's; empty: the bucket's own.
        """
        path = self.path(name)
        options = {"StorageClass": storage_class} if storage_class else {}

        def send() -> None:
            self._fs.makedirs(self._fs.parent(path), exist_ok=True)
            self._fs.put_file(str(source), path, **options)

        self._do(send)
        if not self.store.is_local:
            settle(lambda: self.info(name) is not None)

    def write(self, name: str, data: bytes) -> None:
        """Write a small file to the remote, as `send` does, and wait until it is shown."""
        with tempfile.TemporaryDirectory(prefix="facemodels-") as folder:
            source = Path(folder, "data")
            source.write_bytes(data)
            self.send(source, name)
        if not self.store.is_local:
            settle(lambda: self.read(name) == data)

    def _do(self, act: Callable[[], Result]) -> Result:
        """Make one call to the remote, with retries, and turn its errors into ours."""

        def attempt() -> Result:
            try:
                self._fs.fs.invalidate_cache()
                return act()
            # Each cloud's library has errors of its own, without a common base.
            except Exception as error:
                raise wrap_error(self.store.name, self.url, error) from error

        return self._retries(attempt)

"""A store of objects by their md5, as DVC lays them out: the cache, a remote or a backup.

An object lies at `<url>/files/md5/<2 of 32 hex digits>/<the other 30>[.dir]`. A `.dir` object is
the list of the files of a folder. All access goes through DVC's own file systems, so that S3,
Google Cloud, Azure and plain folders are used in the same way.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from facemodels.errors import InputError, IntegrityError
from facemodels.files import atomic_path
from facemodels.storage.stores.errors import wrap_error
from facemodels.storage.stores.object_info import Listing, ObjectInfo, read_info
from facemodels.storage.stores.retries import Retries, settle
from facemodels.storage.stores.s3_listing import list_one

CACHE = "cache"
_BLOCK = 1 << 20  # bytes hashed at once
_READ_AHEAD = 16 << 20  # bytes of one request for an object that is streamed
_OID = re.compile(r"[0-9a-f]{32}(?:\.dir)?")
_PROTECTED = 0o444  # the mode of objects in DVC's cache; DVC hashes writable ones again and again

Result = TypeVar("Result")


@dataclass(frozen=True)
class FolderFile:
    """A file of a folder that DVC tracks.

    Attributes:
        oid: the md5 of its bytes.
        path: its path in the folder.
    """

    oid: str
    path: str


class ObjectStore:
    """Reads and writes objects by their ids in one store.

    All methods raise `AccessError` where the store refuses access, and `TransientError` where it
    did not answer for longer than the retries allow.

    Args:
        name: `cache`, or the name of the remote in DVC's configuration.
        odb: DVC's object database.
        retries: how calls are repeated while the store does not answer; None: not at all.
    """

    def __init__(self, name: str, odb: Any, retries: Retries | None = None) -> None:
        self.name = name
        self.odb = odb
        self._retries = retries

    @property
    def url(self) -> str:
        """The URL of the store, without credentials."""
        return str(self.odb.fs.unstrip_protocol(self.odb.path))

    @property
    def is_local(self) -> bool:
        """Whether the store is a folder of this machine."""
        return str(self.odb.fs.protocol) == "local"

    def path(self, oid: str) -> str:
        """The path of an object, as the file system of the store names it.

        Raises:
            InputError: this is no object id.
        """
        if not _OID.fullmatch(oid):
            raise InputError(f"{oid!r} is no object id.", "It is an md5 in hexadecimal digits.")
        return str(self.odb.oid_to_path(oid))

    # --- what is there -------------------------------------------------------------------

    def listing(self) -> Listing:
        """List everything that lies in the store now.

        Raises:
            InputError: the bucket does not exist.
        """
        try:
            return self._do(self._list)
        except FileNotFoundError as error:
            raise self._no_bucket(error) from error

    def _list(self) -> Listing:
        objects, foreign = {}, []
        for name, facts in self._files():
            oid = name.replace("/", "", 1)
            if _OID.fullmatch(oid) and name[2:3] == "/":
                objects[oid] = read_info(facts)
            else:
                foreign.append(name)
        return Listing(objects, tuple(sorted(foreign)))

    def _files(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the path below the store and the facts of every file."""
        if self.is_local:
            root = Path(self.odb.path)
            for folder, _, names in os.walk(root):
                for name in names:
                    path = Path(folder, name)
                    yield path.relative_to(root).as_posix(), self.odb.fs.fs.info(str(path))
            return
        filesystem = self.odb.fs.fs
        filesystem.invalidate_cache()
        found = filesystem.find(self.odb.path, detail=True)
        if self.odb.fs.protocol == "s3" and found.keys() <= {str(self.odb.path)}:
            list_one(filesystem, str(self.odb.path))  # nothing is there, if that is a store
        for path, facts in found.items():
            name = path_below(str(self.odb.path), path)
            if name:
                yield name, facts

    def sizes(self) -> dict[str, int]:
        """The bytes of every object in the store, by id; files that are no objects are left out."""
        return {oid: info.size for oid, info in self.listing().objects.items()}

    def info(self, oid: str) -> ObjectInfo | None:
        """What the store says of one object; None if it is not there."""

        def ask() -> ObjectInfo | None:
            if not self.is_local:
                self.odb.fs.fs.invalidate_cache()
            try:
                return read_info(self.odb.fs.fs.info(self.path(oid)))
            except FileNotFoundError:
                return None

        return self._do(ask)

    def size(self, oid: str) -> int | None:
        """The bytes of one object; None if it is not there."""
        info = self.info(oid)
        return None if info is None else info.size

    def digest(self, oid: str) -> str | None:
        """The md5 of the bytes that lie under an id now; None if there are none."""

        def read() -> str | None:
            total = hashlib.md5(usedforsecurity=False)
            try:
                with self._stream(oid) as stream:
                    while block := stream.read(_BLOCK):
                        total.update(block)
            except FileNotFoundError:
                return None
            return total.hexdigest()

        return self._do(read)

    def _stream(self, oid: str) -> Any:
        if self.is_local:
            return Path(self.path(oid)).open("rb")
        return self.odb.fs.open(self.path(oid), "rb", block_size=_READ_AHEAD)

    def is_whole(self, oid: str) -> bool:
        """Whether an object is there and its bytes have the digest that its id says."""
        return self.digest(oid) == oid.removesuffix(".dir")

    def children(self, oid: str) -> list[FolderFile]:
        """The files of a folder, read from its `.dir` object.

        Raises:
            IntegrityError: the object is not there, or its bytes have another digest.
        """
        try:
            data = self._do(lambda: self.odb.fs.cat_file(self.path(oid)))
        except FileNotFoundError as error:
            raise IntegrityError(f"{oid} is not in {self.name}") from error
        if hashlib.md5(data, usedforsecurity=False).hexdigest() != oid.removesuffix(".dir"):
            raise IntegrityError(f"{oid} in {self.name} is not what its name says")
        return [FolderFile(one["md5"], one["relpath"]) for one in json.loads(data)]

    # --- moving objects ------------------------------------------------------------------

    def get(self, oid: str, target: Path) -> None:
        """Copy an object to a file; unless it arrives whole, the file stays as it was before.

        Raises:
            IntegrityError: the object is not there, or its bytes have another digest.
            FullError: the disk has no room for it.
        """

        def fetch() -> None:
            with atomic_path(target) as temporary:
                self.odb.fs.get_file(self.path(oid), str(temporary))
                if md5(temporary) != oid.removesuffix(".dir"):
                    raise IntegrityError(f"{oid} in {self.name} is not what its name says")

        try:
            self._do(fetch)
        except FileNotFoundError as error:
            raise IntegrityError(f"{oid} is not in {self.name}") from error

    def put(self, source: Path, oid: str, *, before: ObjectInfo | None = None) -> ObjectInfo | None:
        """Copy a file into the store under an id, and replace what lies there.

        The caller knows that the file has the digest of the id; it is not read here. Objects in
        the cache are made read-only, as DVC makes them. A store that shows what it took only
        after a while is waited for.

        Args:
            source: the file.
            oid: the id.
            before: what the store said of the object that is replaced; None if there was none.

        Returns:
            What the store says of the object now; None if it still shows none.

        Raises:
            InputError: the bucket does not exist.
        """
        path = self.path(oid)

        def send() -> None:
            self.odb.fs.makedirs(self.odb.fs.parent(path), exist_ok=True)
            self.odb.fs.put_file(str(source), path)

        try:
            self._do(send)
        except FileNotFoundError as error:
            raise self._no_bucket(error) from error
        self._protect(oid)
        shown = self.info(oid)

        def is_shown() -> bool:
            nonlocal shown
            shown = self.info(oid) if shown in (None, before) else shown
            return shown not in (None, before)

        if not self.is_local and shown in (None, before):
            settle(is_shown)
        return shown

    def _no_bucket(self, error: FileNotFoundError) -> InputError:
        return InputError(
            f"{self.name} ({self.url}) is not there: {error}.",
            "Create the bucket, or correct the URL: `facemodels storage init --url …`.",
        )

    def copy_from(self, source: ObjectStore, oid: str) -> None:
        """Copy an object from another store into this one, which must be a local folder.

        Raises:
            IntegrityError: the source does not have the object whole.
            FullError: the disk has no room for it.
        """
        path = Path(self.path(oid))
        self.odb.makedirs(str(path.parent))  # in the mode of a cache that several users share
        source.get(oid, path)
        self._protect(oid)

    def _protect(self, oid: str) -> None:
        if self.name == CACHE:
            Path(self.path(oid)).chmod(_PROTECTED)

    def delete(self, oid: str) -> None:
        """Delete an object; do nothing if it is not there."""
        path = self.path(oid)

        def remove() -> None:
            try:
                self.odb.fs.fs.rm_file(path)
            except FileNotFoundError:
                return

        self._do(remove)

    def _do(self, act: Callable[[], Result]) -> Result:
        """Make one call to the store, with retries, and turn its errors into ours."""

        def attempt() -> Result:
            try:
                return act()
            except (FileNotFoundError, IntegrityError, InputError):
                raise
            # Each cloud's library has errors of its own, without a common base.
            except Exception as error:
                raise wrap_error(self.name, self.url, error) from error

        return attempt() if self._retries is None else self._retries(attempt)


def path_below(folder: str, path: str) -> str:
    """The part of a listed path below a folder; empty for the folder's own entry.

    Consoles leave an object of no bytes in the place of a folder, and a prefix with `//` comes
    back with one slash from some stores.

    Raises:
        ValueError: the path lies elsewhere, so that the answer is no listing of this folder.
    """
    above, found = (re.sub("/+", "/", text).strip("/") for text in (folder, path))
    start = f"/{found}/".find(f"/{above}/")
    if start < 0:
        raise ValueError(f"{path!r} was listed below {folder!r}")
    return found[start + len(above) :].lstrip("/")


def md5(path: Path) -> str:
    """The md5 of a file, in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, _new_md5).hexdigest()


def _new_md5() -> Any:
    return hashlib.md5(usedforsecurity=False)

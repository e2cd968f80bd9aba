"""A place that holds objects by their md5, as DVC lays them out: the cache, a remote, a backup.

`<url>/files/md5/<2 of 32 hex digits>/<the other 30>[.dir]`; a `.dir` object is the list of a
folder's files. Everything goes through DVC's own file systems, so S3, Google Cloud, Azure and
plain folders are one thing.
"""

from __future__ import annotations

import base64
import binascii
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
from facemodels.storage.stores.errors import Patience, Retries, explain

CACHE = "cache"
_BLOCK = 1 << 20  # bytes hashed at once
_READ_AHEAD = 16 << 20  # bytes a request for an object that is streamed
_OID = re.compile(r"[0-9a-f]{32}(?:\.dir)?")
_MD5 = re.compile(r"[0-9a-f]{32}")
_PROTECTED = 0o444  # DVC's mode of objects in its cache

Result = TypeVar("Result")


@dataclass(frozen=True)
class Child:
    """A file of a folder that DVC tracks.

    Attributes:
        oid: md5 of its bytes.
        path: in the folder.
    """

    oid: str
    path: str


@dataclass(frozen=True)
class Stamp:
    """What a place says of an object without sending its bytes.

    Attributes:
        size: bytes.
        etag: the store's own mark of this content; empty if it gives none.
        modified: when it was written, as the store says it.
        md5: of the content, where the store computed one; empty if not.
    """

    size: int
    etag: str
    modified: str
    md5: str = ""


@dataclass(frozen=True)
class Listing:
    """All that lies in a place.

    Attributes:
        objects: what the place says of each object, by id.
        foreign: paths, below the place, of files that are no objects.
    """

    objects: Mapping[str, Stamp]
    foreign: tuple[str, ...]


class Place:
    """Objects by id.

    Args:
        name: `cache`, or the remote's name in DVC's configuration.
        odb: DVC's object database.
        retries: what to do while it does not answer; None: fail at once.
    """

    def __init__(self, name: str, odb: Any, retries: Retries | None = None) -> None:
        self.name = name
        self.odb = odb
        self._retries = retries

    @property
    def url(self) -> str:
        """Where it is, without credentials."""
        return str(self.odb.fs.unstrip_protocol(self.odb.path))

    @property
    def is_local(self) -> bool:
        """Whether it is a folder of this machine."""
        return str(self.odb.fs.protocol) == "local"

    def path(self, oid: str) -> str:
        """Where an object lies, as its file system names it.

        Raises:
            InputError: no object id.
        """
        if not _OID.fullmatch(oid):
            raise InputError(f"{oid!r} is no object id.", "It is an md5 in hexadecimal digits.")
        return str(self.odb.oid_to_path(oid))

    # --- what is there -------------------------------------------------------------------

    def listing(self) -> Listing:
        """All that lies here, asked of the store now.

        Raises:
            InputError: there is no such bucket.
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
                objects[oid] = _stamp(facts)
            else:
                foreign.append(name)
        return Listing(objects, tuple(sorted(foreign)))

    def _files(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Path below the place and facts of every file."""
        if self.is_local:
            root = Path(self.odb.path)
            for folder, _, names in os.walk(root):
                for name in names:
                    path = Path(folder, name)
                    yield path.relative_to(root).as_posix(), self.odb.fs.fs.info(str(path))
            return
        prefix = str(self.odb.path).rstrip("/") + "/"
        self.odb.fs.fs.invalidate_cache()
        for path, facts in self.odb.fs.fs.find(self.odb.path, detail=True).items():
            yield path[path.index(prefix) + len(prefix) :], facts

    def sizes(self) -> dict[str, int]:
        """Bytes of every object that is there, by id; what is no object is left out."""
        return {oid: stamp.size for oid, stamp in self.listing().objects.items()}

    def stamp(self, oid: str) -> Stamp | None:
        """What the place says of one object; None if it is not there."""

        def ask() -> Stamp | None:
            if not self.is_local:
                self.odb.fs.fs.invalidate_cache()
            try:
                return _stamp(self.odb.fs.fs.info(self.path(oid)))
            except FileNotFoundError:
                return None

        return self._do(ask)

    def size(self, oid: str) -> int | None:
        """Bytes of one object; None if it is not there."""
        stamp = self.stamp(oid)
        return None if stamp is None else stamp.size

    def digest(self, oid: str) -> str | None:
        """md5 of an object's bytes as they are there now; None if it is not there."""

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
        """Whether an object is there and is what its name says."""
        return self.digest(oid) == oid.removesuffix(".dir")

    def children(self, oid: str) -> list[Child]:
        """The files of a folder, from its `.dir` object.

        Raises:
            IntegrityError: it is not there, or not what its name says.
        """
        try:
            data = self._do(lambda: self.odb.fs.cat_file(self.path(oid)))
        except FileNotFoundError as error:
            raise IntegrityError(f"{oid} is not in {self.name}") from error
        if hashlib.md5(data, usedforsecurity=False).hexdigest() != oid.removesuffix(".dir"):
            raise IntegrityError(f"{oid} in {self.name} is not what its name says")
        return [Child(one["md5"], one["relpath"]) for one in json.loads(data)]

    # --- moving objects ------------------------------------------------------------------

    def get(self, oid: str, target: Path) -> None:
        """Copy an object to a file; the file is there whole and checked, or as it was before.

        Raises:
            IntegrityError: it is not there, or not what its name says.
            FullError: there is no room for it.
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

    def put(self, source: Path, oid: str) -> None:
        """Copy a file there, whatever lies there already; the caller knows what it holds.

        Raises:
            InputError: there is no such bucket.
        """
        path = self.path(oid)

        def send() -> None:
            self.odb.fs.makedirs(self.odb.fs.parent(path), exist_ok=True)
            self.odb.fs.put_file(str(source), path)

        try:
            self._do(send)
        except FileNotFoundError as error:
            raise self._no_bucket(error) from error

    def _no_bucket(self, error: FileNotFoundError) -> InputError:
        return InputError(
            f"{self.name} ({self.url}) is not there: {error}.",
            "Create the bucket, or correct the URL: `facemodels storage init --url …`.",
        )

    def take(self, oid: str, source: Place) -> None:
        """Copy an object from another place into this one, which is a folder: the cache.

        Raises:
            IntegrityError: the source does not have it whole.
            FullError: there is no room for it.
        """
        target = Path(self.path(oid))
        source.get(oid, target)
        if self.name == CACHE:
            target.chmod(_PROTECTED)  # DVC hashes what is writable again and again

    def delete(self, oid: str) -> None:
        """Take an object away; nothing if it is not there."""
        path = self.path(oid)

        def remove() -> None:
            try:
                self.odb.fs.fs.rm_file(path)
            except FileNotFoundError:
                return

        self._do(remove)

    def _do(self, act: Callable[[], Result]) -> Result:
        """Run one act on the store, with patience; its errors are ours."""

        def attempt() -> Result:
            try:
                return act()
            except (FileNotFoundError, IntegrityError, InputError):
                raise
            # Each cloud's library has errors of its own, without a common base.
            except Exception as error:
                raise explain(self.name, self.url, error) from error

        return attempt() if self._retries is None else self._retries(attempt)


def md5(path: Path) -> str:
    """md5 of a file, in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, _new_md5).hexdigest()


def _new_md5() -> Any:
    return hashlib.md5(usedforsecurity=False)


def _stamp(facts: Mapping[str, Any]) -> Stamp:
    """S3, Google Cloud, Azure and folders each have their own names for the same facts."""
    etag = str(facts.get("ETag") or facts.get("etag") or facts.get("ino") or "").strip('"')
    moment = next(
        (
            facts[key]
            for key in ("LastModified", "last_modified", "updated", "mtime")
            if facts.get(key)
        ),
        "",
    )
    if hasattr(moment, "timestamp"):
        moment = int(moment.timestamp())  # a listing gives fractions, a HEAD does not
    digest = ""
    if _MD5.fullmatch(etag):
        digest = etag
    elif facts.get("md5Hash"):  # Google Cloud's
        digest = _from_base64(str(facts["md5Hash"]))
    return Stamp(int(facts["size"]), etag, str(moment), digest)


def _from_base64(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).hex()
    except binascii.Error:
        return ""


def remote_names(root: Path) -> tuple[str, ...]:
    """The remotes of a repository, the default one first.

    Raises:
        InputError: DVC's configuration cannot be read.
    """
    from dvc.config import Config, ConfigError

    try:
        config = Config(str(root / ".dvc"))
    except ConfigError as error:
        raise InputError(f"DVC's configuration cannot be read: {error}.") from error
    default = config["core"].get("remote")
    names = list(config["remote"])
    return tuple(sorted(names, key=lambda name: (name != default, names.index(name))))


def open_place(
    root: Path,
    name: str | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    patience: Patience | None = None,
) -> Place:
    """The cache, or a remote.

    Args:
        root: of the repository.
        name: `cache`, or of a remote; None: the default remote.
        config: settings over those of .dvc/config, as `dvc.repo.Repo` takes them.
        patience: with a remote that does not answer; None: the usual.

    Raises:
        InputError: no such remote.
    """
    from dvc.config import ConfigError, RemoteNotFoundError
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        repo = Repo(str(root), config=dict(config) if config else None)
        if name == CACHE:
            return Place(CACHE, repo.cache.local)
        chosen = name or repo.config["core"].get("remote")
        if not chosen:
            raise InputError(
                "There is no default remote.", "Run `facemodels storage init --url …`."
            )
        odb = repo.cloud.get_remote_odb(name=chosen)
        _leave_retries_to_us(odb.fs)
        return Place(str(chosen), odb, Retries(patience))
    except (ConfigError, RemoteNotFoundError, DvcException) as error:
        raise InputError(
            f"{name or 'the default remote'} cannot be used: {error}.",
            "See `dvc remote list`; `facemodels storage init` sets remotes up.",
        ) from error


def _leave_retries_to_us(filesystem: Any) -> None:
    """botocore tries each call five times and s3fs five times that: a minute and a half for a
    store that is gone, whatever patience the user asked for.
    """
    if filesystem.protocol == "s3":
        settings = filesystem.fs_args.setdefault("config_kwargs", {})
        settings.setdefault("retries", {"total_max_attempts": 1})

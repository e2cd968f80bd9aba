"""A place that holds objects by their md5, as DVC lays them out: the cache, a remote, a backup.

`<url>/files/md5/<2 of 32 hex digits>/<the other 30>[.dir]`; a `.dir` object is the list of a
folder's files. Everything goes through DVC's own file systems, so S3, Google Cloud, Azure and
plain folders are one thing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facemodels.errors import InputError, IntegrityError, ToolError

CACHE = "cache"
_BLOCK = 1 << 20  # bytes read at once
_OID = re.compile(r"[0-9a-f]{32}(?:\.dir)?")


@dataclass(frozen=True)
class Child:
    """A file of a folder that DVC tracks.

    Attributes:
        oid: md5 of its bytes.
        path: in the folder.
    """

    oid: str
    path: str


class Place:
    """Objects by id.

    Args:
        name: `cache`, or the remote's name in DVC's configuration.
        odb: DVC's object database.
    """

    def __init__(self, name: str, odb: Any) -> None:
        self.name = name
        self.odb = odb

    @property
    def url(self) -> str:
        """Where it is, without credentials."""
        return str(self.odb.fs.unstrip_protocol(self.odb.path))

    def path(self, oid: str) -> str:
        """Where an object lies, as its file system names it.

        Raises:
            InputError: no object id.
        """
        if not _OID.fullmatch(oid):
            raise InputError(f"{oid!r} is no object id.", "It is an md5 in hexadecimal digits.")
        return str(self.odb.oid_to_path(oid))

    def sizes(self) -> dict[str, int]:
        """Bytes of every object that is there, by id; what is no object is left out."""
        with self._failures():
            if not self.odb.fs.exists(self.odb.path):
                return {}
            found = self.odb.fs.fs.find(self.odb.path, detail=True)
        prefix = str(self.odb.path).rstrip("/") + "/"
        sizes = {}
        for path, facts in found.items():
            oid = path[path.index(prefix) + len(prefix) :].replace("/", "", 1)
            if _OID.fullmatch(oid):
                sizes[oid] = int(facts["size"])
        return sizes

    def size(self, oid: str) -> int | None:
        """Bytes of one object; None if it is not there."""
        with self._failures():
            self.odb.fs.fs.invalidate_cache()
            try:
                return int(self.odb.fs.fs.info(self.path(oid))["size"])
            except FileNotFoundError:
                return None

    def digest(self, oid: str) -> str | None:
        """md5 of an object's bytes as they are there now; None if it is not there."""
        total = hashlib.md5(usedforsecurity=False)
        with self._failures():
            try:
                with self.odb.fs.open(self.path(oid), "rb") as stream:
                    while block := stream.read(_BLOCK):
                        total.update(block)
            except FileNotFoundError:
                return None
        return total.hexdigest()

    def is_whole(self, oid: str) -> bool:
        """Whether an object is there and is what its name says."""
        return self.digest(oid) == oid.removesuffix(".dir")

    def get(self, oid: str, target: Path) -> None:
        """Copy an object to a file, checked.

        Raises:
            IntegrityError: it is not there, or not what its name says.
        """
        if self.digest(oid) != oid.removesuffix(".dir"):
            raise IntegrityError(f"{oid} in {self.name} is missing or not what its name says")
        with self._failures():
            self.odb.fs.get_file(self.path(oid), str(target))

    def put(self, source: Path, oid: str) -> None:
        """Copy a file there, whatever lies there already; the caller knows what it holds."""
        path = self.path(oid)
        with self._failures():
            self.odb.fs.makedirs(self.odb.fs.parent(path), exist_ok=True)
            self.odb.fs.put_file(str(source), path)

    def delete(self, oid: str) -> None:
        """Take an object away; nothing if it is not there."""
        with self._failures():
            self.odb.fs.fs.invalidate_cache()
            if self.odb.fs.exists(self.path(oid)):
                self.odb.fs.remove(self.path(oid))

    def children(self, oid: str) -> list[Child]:
        """The files of a folder, from its `.dir` object.

        Raises:
            IntegrityError: it is not there, or not what its name says.
        """
        with self._failures():
            try:
                data = self.odb.fs.cat_file(self.path(oid))
            except FileNotFoundError as error:
                raise IntegrityError(f"{oid} is not in {self.name}") from error
        if hashlib.md5(data, usedforsecurity=False).hexdigest() != oid.removesuffix(".dir"):
            raise IntegrityError(f"{oid} in {self.name} is not what its name says")
        return [Child(one["md5"], one["relpath"]) for one in json.loads(data)]

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Errors of any cloud's library as one of ours."""
        try:
            yield
        except (FileNotFoundError, IntegrityError, InputError):
            raise
        # Each cloud's library has errors of its own, without a common base.
        except Exception as error:
            raise ToolError(
                f"{self.name} ({self.url}) failed: {type(error).__name__}: {error}.",
                "Check the network, the credentials and the bucket; `facemodels storage doctor` "
                "helps.",
            ) from error


def open_place(
    root: Path, name: str | None = None, *, config: Mapping[str, Any] | None = None
) -> Place:
    """The cache, or a remote.

    Args:
        root: of the repository.
        name: `cache`, or of a remote; None: the default remote.
        config: settings over those of .dvc/config, as `dvc.repo.Repo` takes them.

    Raises:
        InputError: no such remote.
    """
    from dvc.config import ConfigError
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
        return Place(str(chosen), repo.cloud.get_remote_odb(name=chosen))
    except (ConfigError, DvcException) as error:
        raise InputError(
            f"{name or 'the default remote'} cannot be used: {error}.",
            "See `dvc remote list`; `facemodels storage init` sets remotes up.",
        ) from error

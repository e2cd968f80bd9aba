"""Copies objects and archives to the backup: those that are missing or damaged there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from facemodels.errors import InputError, IntegrityError
from facemodels.progress import progress
from facemodels.storage.backup.report import BackupRequest
from facemodels.storage.stores.named_files import NamedFiles
from facemodels.storage.stores.object_store import CACHE
from facemodels.storage.stores.objects import VersionObjects
from facemodels.storage.stores.stores import Stores, each


class Mirror:
    """The backup as the mirror of the other stores of a repository.

    Args:
        stores: the stores of the repository.
        request: what is asked of the backup.
        scratch: a folder for files on their way.

    Attributes:
        target: the store of the backup.
        files: the named files of the backup.
        sources: the cache, the default remote and the other remotes, in the order in which they
            are asked for objects.
        reread: the number of objects that were read again in the backup and are whole.

    Raises:
        InputError: there is no such remote, or it is the default one.
    """

    def __init__(self, stores: Stores, request: BackupRequest, scratch: Path) -> None:
        self._request = request
        self._scratch = scratch
        self._cache = stores.cache
        self.target = stores.remote(request.to)
        self._storage = stores.remote()
        if request.to == CACHE or self.target.url == self._storage.url:
            raise InputError(
                f"{request.to} is the default remote itself, or the cache.",
                "Give --to, or run `facemodels storage init --backup-url …`.",
            )
        others = stores.others(self._cache, self._storage, self.target)
        self.sources = [self._cache, self._storage, *others]
        self.files = NamedFiles(self.target, request.patience)
        self.reread = 0

    def compare(self, objects: Sequence[VersionObjects]) -> tuple[dict[str, int], list[str]]:
        """Compare the backup with what it should hold.

        Returns:
            The bytes of all objects, by id, and the ids of those that are missing or damaged in
            the backup.
        """
        there = self.target.sizes()
        sizes = self._sizes(dict.fromkeys(oid for one in objects for oid in one.oids), there)
        needed = [oid for oid, size in sizes.items() if there.get(oid) != size]
        if self._request.reread:
            present = [oid for oid in sizes if oid not in needed]
            with progress(f"read {self._request.to}", len(present)) as advance:
                for oid, whole in each(self.target.is_whole, present, self._request.jobs):
                    advance(1)
                    self.reread += whole
                    if not whole:
                        needed.append(oid)
        return sizes, needed

    def _sizes(self, oids: Iterable[str], there: Mapping[str, int]) -> dict[str, int]:
        """The bytes of objects, by the first store that has them; -1 where none has."""
        stored = self._storage.sizes()
        found = {}
        for oid in oids:
            size = stored[oid] if oid in stored else self._cache.size(oid)
            found[oid] = there.get(oid, -1) if size is None else size
        return found

    def missing_archives(self, recorded: Mapping[str, str]) -> dict[str, str]:
        """The archives that are not in the backup as they were recorded.

        Args:
            recorded: the SHA-256 of archives, by name below the remote's URL.

        Returns:
            Those that must be copied, in the same form.
        """
        return {
            name: digest for name, digest in recorded.items() if self.files.digest(name) != digest
        }

    def copy_objects(self, needed: Sequence[str]) -> None:
        """Copy objects to the backup, the lists of folders after all files.

        So whoever finds a list in the backup finds its files.

        Raises:
            IntegrityError: an object is nowhere whole; the other files were copied all the same.
        """
        files = [oid for oid in needed if not oid.endswith(".dir")]
        folders = [oid for oid in needed if oid.endswith(".dir")]
        with progress(f"back up to {self._request.to}", len(needed)) as advance:
            for group in (files, folders):
                lost = []
                for oid, whole in each(self._copy_object, group, self._request.jobs):
                    advance(1)
                    self.reread += whole
                    if not whole:
                        lost.append(oid)
                if lost:
                    raise IntegrityError(
                        "objects of released versions are nowhere whole",
                        "`facemodels storage audit --all` says which versions they belong to. The "
                        "backup before stands; all else was copied.",
                        missing=tuple(sorted(lost)),
                    )

    def _copy_object(self, oid: str) -> bool:
        """Copy an object and read it again in the backup; False if no store has it whole."""
        copy = self._scratch / oid
        if not self._get(oid, copy):
            return self.target.is_whole(oid)
        try:
            self.target.put(copy, oid)
        finally:
            copy.unlink()
        if not self.target.is_whole(oid):
            raise self._not_what_was_sent(oid)
        return True

    def _get(self, oid: str, copy: Path) -> bool:
        for store in self.sources:
            try:
                store.get(oid, copy)
            except IntegrityError:
                continue
            return True
        return False

    def copy_archives(self, archives: Mapping[str, str]) -> None:
        """Copy archives from the default remote.

        Args:
            archives: the SHA-256 of the archives, by name below the remote's URL.

        Raises:
            IntegrityError: one is not what was recorded.
        """
        storage = NamedFiles(self._storage, self._request.patience)
        for name, digest in archives.items():
            copy = self._scratch / "archive"
            storage.fetch(name, copy, digest)
            self.send_file(copy, name, digest)
            copy.unlink()

    def send_file(self, source: Path, name: str, digest: str) -> None:
        """Copy a file to the backup under a name, and read it again there.

        Raises:
            IntegrityError: what is there now is not what was sent.
        """
        self.files.send(source, name)
        if self.files.digest(name) != digest:
            raise self._not_what_was_sent(name)

    def _not_what_was_sent(self, name: str) -> IntegrityError:
        return IntegrityError(
            f"{self._request.to} took {name}, but what is there now is something else.",
            "Run it again; if it stays so, do not use that store.",
        )

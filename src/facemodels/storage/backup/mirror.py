"""Copies objects and archives to the backup: those that are missing or damaged there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from facemodels.errors import InputError, IntegrityError
from facemodels.progress import progress
from facemodels.storage.backup.report import BackupRequest
from facemodels.storage.retention.archive_copies import ensure_copy
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
        self._ledger = stores.ledger
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
            Those that must be copied, in the same form. One that was read before and has not
            changed since is read again only if that is asked for.
        """
        return {name: digest for name, digest in recorded.items() if not self._has(name, digest)}

    def _has(self, name: str, digest: str) -> bool:
        info = self.files.info(name)
        if info is None:
            return False
        key = _key(name, digest)
        if not self._request.reread and self._ledger.knows(self.files.url, key, info):
            return True
        whole = self.files.digest(name) == digest
        if whole:
            self._ledger.note(self.files.url, key, info)
        return whole

    def _note(self, name: str, digest: str) -> None:
        """Remember an archive that was read after it was copied."""
        info = self.files.info(name)
        if info is not None:
            self._ledger.note(self.files.url, _key(name, digest), info)

    def copy_objects(self, what: str, needed: Sequence[str]) -> set[str]:
        """Copy objects to the backup.

        Args:
            what: they are, for the progress bar.
            needed: their ids.

        Returns:
            The ids of those that are whole nowhere; the others were copied all the same.

        Raises:
            IntegrityError: the backup does not keep what it is sent.
        """
        lost = set()
        with progress(f"back up {what} to {self._request.to}", len(needed)) as advance:
            for oid, whole in each(self._copy_object, needed, self._request.jobs):
                advance(1)
                self.reread += whole
                if not whole:
                    lost.add(oid)
        return lost

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

    def copy_archives(self, archives: Mapping[str, str]) -> dict[str, str]:
        """Copy archives from the default remote.

        Args:
            archives: the SHA-256 of the archives, by name below the remote's URL.

        Returns:
            Why archives could not be copied, by name; the others were.
        """
        storage = NamedFiles(self._storage, self._request.patience)
        failed = {}
        with progress(f"back up archives to {self._request.to}", len(archives)) as advance:
            for name, digest in archives.items():
                try:
                    ensure_copy(storage, self.files, name, digest)
                    self._note(name, digest)
                except IntegrityError as error:
                    failed[name] = str(error)
                advance(1)
        return failed

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


def _key(name: str, digest: str) -> str:
    """The name under which the ledger knows an archive."""
    return f"{name} sha256:{digest}"

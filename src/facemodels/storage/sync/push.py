"""Send every object of the versions that are not archived to a remote, and prove it there.

Plain `dvc push` trusts a folder's list: where the list is in the remote, none of the files is
checked. Here each object is checked, what is missing or wrong is sent again, and the list is sent
last, so that whoever finds it finds the files. A store takes an object as a whole; a run that is
killed leaves objects that are whole or absent, and the next run sends what is left.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facemodels.errors import FacemodelsError, IntegrityError, some
from facemodels.progress import Advance, progress
from facemodels.registry.state import State
from facemodels.storage.stores.object_info import ObjectInfo
from facemodels.storage.stores.object_store import ObjectStore, md5
from facemodels.storage.stores.objects import (
    VersionObjects,
    folder_of,
    name_versions,
    read_lists,
    stored_versions,
    versions_by_object,
)
from facemodels.storage.stores.proof import Condition, examine
from facemodels.storage.stores.stores import JOBS, Stores, each


@dataclass(frozen=True)
class PushReport:
    """What a push did, or would do.

    Attributes:
        remote: the name of the remote.
        url: the URL of the remote.
        versions: the ids of the versions whose objects are proven now.
        untracked: the ids of versions that were registered without DVC; they have no objects.
        objects: the number of objects that the versions have together.
        missing: the bytes of each object that was not there and was sent, by id.
        repaired: the bytes of each object that was damaged there and was sent again, by id.
        dry_run: whether nothing was sent.
        read_back: whether the bytes of all objects were read there, and not only what the store
            says of them.
    """

    remote: str
    url: str
    versions: tuple[str, ...]
    untracked: tuple[str, ...]
    objects: int
    missing: dict[str, int]
    repaired: dict[str, int]
    dry_run: bool = False
    read_back: bool = False

    def as_json(self) -> dict[str, Any]:
        """The report as values of JSON."""
        return {
            "remote": self.remote, "url": self.url, "dry_run": self.dry_run,
            "read_back": self.read_back,
            "versions": list(self.versions), "untracked": list(self.untracked),
            "objects": self.objects, "missing": self.missing, "repaired": self.repaired,
            "bytes": sum(self.missing.values()) + sum(self.repaired.values()),
        }  # fmt: skip


def push(
    stores: Stores,
    state: State,
    *,
    remote: str | None = None,
    jobs: int = JOBS,
    dry_run: bool = False,
    read_back: bool = False,
) -> PushReport:
    """Make a remote hold every object of the versions that are not archived, each proven.

    Args:
        stores: the stores of the repository.
        state: the state of the registry.
        remote: the name of the remote; None: the default one.
        jobs: the number of transfers at once.
        dry_run: check the objects, and send nothing.
        read_back: read every object there, those that were sent included.

    Raises:
        InputError: there is no such remote, or no such bucket.
        IntegrityError: an object is needed and nowhere whole; the others were sent.
        AccessError: the remote refuses access.
        TransientError: the remote did not answer for longer than the stores' patience.
    """
    target = stores.remote(remote)
    versions = stored_versions(state)
    objects, unknown = read_lists(versions, lambda: stores.all_from(stores.cache, target))
    work = _PushRun(stores, target, objects, jobs, read_back=read_back)
    missing, repaired = work.run(dry_run=dry_run)
    if unknown is not None:
        raise unknown
    untracked = [entry.id for entry in state.entries.values() if folder_of(entry) is None]
    return PushReport(
        target.name, target.url, tuple(one.id for one in objects), tuple(sorted(untracked)),
        len(work.versions), missing, repaired, dry_run, read_back,
    )  # fmt: skip


class _PushRun:
    """One push to one remote."""

    def __init__(
        self,
        stores: Stores,
        target: ObjectStore,
        objects: Sequence[VersionObjects],
        jobs: int,
        *,
        read_back: bool,
    ) -> None:
        self.stores = stores
        self.target = target
        self.objects = objects
        self.jobs = jobs
        self.versions = versions_by_object(objects)
        self._read_back = read_back
        self._there: Mapping[str, ObjectInfo] = {}

    def run(self, *, dry_run: bool) -> tuple[dict[str, int], dict[str, int]]:
        """Send what is needed; return the bytes of missing and of damaged objects, by id."""
        found = self._examine_all()
        needed = [oid for oid in self.versions if found[oid] != "whole"]
        sent: dict[str, int] = {}
        lost: set[str] = set()
        label = f"{'look for' if dry_run else 'push to'} {self.target.name}"
        with progress(label, len(needed)) as advance:
            files = [oid for oid in needed if not oid.endswith(".dir")]
            self._send(files, sent, lost, advance, dry_run=dry_run)
            # A list of files that are not all there would be believed by whoever finds it.
            ready = [
                one.folder
                for one in self.objects
                if one.folder in needed and not lost.intersection(one.oids)
            ]
            self._send(dict.fromkeys(ready), sent, lost, advance, dry_run=dry_run)
        if lost:
            raise self._lost(lost)
        missing = {oid: sent[oid] for oid in needed if found[oid] == "missing"}
        return missing, {oid: sent[oid] for oid in needed if found[oid] == "wrong"}

    def _examine_all(self) -> dict[str, Condition]:
        self._there = self.target.listing().objects

        def condition(oid: str) -> Condition:
            copy = Path(self.stores.cache.path(oid))
            return self._condition(oid, self._there.get(oid), copy)

        found: dict[str, Condition] = {}
        with progress(f"prove {self.target.name}", len(self.versions)) as advance:
            for oid, one in each(condition, self.versions, self.jobs):
                found[oid] = one
                advance(1)
        return found

    def _send(
        self,
        oids: Iterable[str],
        sent: dict[str, int],
        lost: set[str],
        advance: Advance,
        *,
        dry_run: bool,
    ) -> None:
        def send(oid: str) -> int | None:
            with self._source(oid) as path:
                if path is None:
                    return None
                size = path.stat().st_size
                if not dry_run:
                    self._put(oid, path)
                return size

        for oid, size in each(send, oids, self.jobs):
            if size is None:
                lost.add(oid)
            else:
                sent[oid] = size
            advance(1)

    def _put(self, oid: str, path: Path) -> None:
        info = self.target.put(path, oid, before=self._there.get(oid))
        found = self._condition(oid, info, path)
        if found != "whole":
            owners = name_versions(self.versions, oid)
            raise IntegrityError(
                f"{self.target.name} took {oid} of {owners}, but what is there now is {found}.",
                "Somebody else writes there, or the store is broken: run it again, and if it "
                "stays so, do not use that store.",
            )

    def _condition(self, oid: str, info: ObjectInfo | None, copy: Path) -> Condition:
        ledger = self.stores.ledger
        return examine(self.target, oid, info, ledger=ledger, copy=copy, read_back=self._read_back)

    @contextmanager
    def _source(self, oid: str) -> Iterator[Path | None]:
        """Yield a file with the checked bytes of an object; None if no store has them whole."""
        cached = Path(self.stores.cache.path(oid))
        if cached.is_file() and md5(cached) == oid.removesuffix(".dir"):
            yield cached
            return
        with tempfile.TemporaryDirectory(prefix="facemodels-") as scratch:
            copy = Path(scratch, "object")
            for store in self.stores.others(self.stores.cache, self.target):
                try:
                    store.get(oid, copy)
                except FacemodelsError:
                    continue  # the next one may have it
                yield copy
                return
            yield None

    def _lost(self, lost: set[str]) -> IntegrityError:
        versions = sorted({version for oid in lost for version in self.versions.get(oid, ())})
        return IntegrityError(
            f"objects of {some(versions)} are not whole in {self.target.name}, nor in the "
            "cache or another remote",
            "Run `facemodels storage push` in a clone that has them, restore the versions "
            "(`facemodels storage restore`), or rebuild them (`dvc repro`). All else was sent.",
            missing=tuple(sorted(lost)),
        )

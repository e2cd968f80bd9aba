"""Bring every object of every kept version to a remote, and prove that it is there.

Plain `dvc push` believes a folder's list: where that is, it asks for none of the files. Here
each object is looked at, what is missing or wrong is sent anew, and the list goes last: a
reader who finds it finds the rest. A kill at any moment leaves objects that are whole or not
there at all, as stores take an object as a whole; the next run goes on with what is left.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facemodels.errors import FacemodelsError, IntegrityError
from facemodels.progress import Advance, progress
from facemodels.registry.state import State
from facemodels.storage.stores.object_store import Place, md5
from facemodels.storage.stores.objects import Objects, folder_of, kept, lists_of, users, versions_of
from facemodels.storage.stores.proof import Verdict, judge
from facemodels.storage.stores.stores import JOBS, Stores, each


@dataclass(frozen=True)
class Push:
    """What a push did, or would do.

    Attributes:
        remote: its name.
        url: of the remote.
        versions: ids of the versions whose objects are proven now.
        untracked: ids of versions that were registered without DVC: nothing to push.
        objects: how many objects the versions have together.
        missing: objects that were not there and were sent, with their bytes.
        repaired: objects that were there and not what their name says, likewise.
        dry_run: nothing was sent.
    """

    remote: str
    url: str
    versions: tuple[str, ...]
    untracked: tuple[str, ...]
    objects: int
    missing: dict[str, int]
    repaired: dict[str, int]
    dry_run: bool = False

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "remote": self.remote, "url": self.url, "dry_run": self.dry_run,
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
) -> Push:
    """Make a remote hold every object of every kept version, each proven by its md5.

    Args:
        stores: of the repository.
        state: of the registry; versions in the archive need not be in the remote.
        remote: name; None: the default one.
        jobs: transfers at once.
        dry_run: look, and send nothing.

    Raises:
        InputError: there is no such remote, or no bucket.
        IntegrityError: an object is needed and nowhere whole; the others were sent.
        AccessError: the remote does not let us in.
        TransientError: it did not answer for longer than the stores' patience.
    """
    place = stores.remote(remote)
    objects, unknown = lists_of(kept(state), lambda: stores.all_from(stores.cache, place))
    work = _Work(stores, place, objects, jobs)
    missing, repaired = work.run(dry_run=dry_run)
    if unknown is not None:
        raise unknown
    untracked = [entry.id for entry in state.entries.values() if folder_of(entry) is None]
    return Push(
        place.name, place.url, tuple(one.id for one in objects), tuple(sorted(untracked)),
        len(work.users), missing, repaired, dry_run,
    )  # fmt: skip


class _Work:
    """One push to one place."""

    def __init__(self, stores: Stores, place: Place, objects: Sequence[Objects], jobs: int) -> None:
        self.stores = stores
        self.place = place
        self.objects = objects
        self.jobs = jobs
        self.users = users(objects)

    def run(self, *, dry_run: bool) -> tuple[dict[str, int], dict[str, int]]:
        """Bytes of what was missing and of what was wrong, by object."""
        verdicts = self._look()
        needed = [oid for oid in self.users if verdicts[oid] != "whole"]
        sent: dict[str, int] = {}
        lost: set[str] = set()
        label = f"{'look for' if dry_run else 'push to'} {self.place.name}"
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
        missing = {oid: sent[oid] for oid in needed if verdicts[oid] == "missing"}
        return missing, {oid: sent[oid] for oid in needed if verdicts[oid] == "wrong"}

    def _look(self) -> dict[str, Verdict]:
        there = self.place.listing().objects

        def verdict(oid: str) -> Verdict:
            copy = Path(self.stores.cache.path(oid))
            return judge(self.place, oid, there.get(oid), ledger=self.stores.ledger, copy=copy)

        with progress(f"prove {self.place.name}", len(self.users)) as advance:
            verdicts: dict[str, Verdict] = {}
            for oid, found in each(verdict, self.users, self.jobs):
                verdicts[oid] = found
                advance(1)
        return verdicts

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
        self.place.put(path, oid)
        stamp = self.place.stamp(oid)
        found = judge(self.place, oid, stamp, ledger=self.stores.ledger, copy=path)
        if found != "whole":
            raise IntegrityError(
                f"{self.place.name} took {oid} of {versions_of(self.users, oid)}, but what is "
                f"there now is {found}.",
                "Somebody else writes there, or the store is broken: run it again, and if it "
                "stays so, do not use that store.",
            )

    @contextmanager
    def _source(self, oid: str) -> Iterator[Path | None]:
        """A file with the object's bytes, checked; None if nobody has them."""
        cached = Path(self.stores.cache.path(oid))
        if cached.is_file() and md5(cached) == oid.removesuffix(".dir"):
            yield cached
            return
        with tempfile.TemporaryDirectory(prefix="facemodels-") as scratch:
            target = Path(scratch, "object")
            for place in self.stores.others(self.stores.cache, self.place):
                try:
                    place.get(oid, target)
                except FacemodelsError:
                    continue  # the next one may have it
                yield target
                return
            yield None

    def _lost(self, lost: set[str]) -> IntegrityError:
        versions = sorted({version for oid in lost for version in self.users.get(oid, ())})
        return IntegrityError(
            f"objects of {', '.join(versions)} are not whole in {self.place.name}, nor in the "
            "cache or another remote",
            "Run `facemodels storage push` in a clone that has them, restore the versions "
            "(`facemodels storage restore`), or rebuild them (`dvc repro`). All else was sent.",
            missing=tuple(sorted(lost)),
        )

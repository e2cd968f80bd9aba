"""A second home of everything that was released: objects, tags, and the audit chain.

The order makes it safe to stop anywhere: objects first, each folder's list after its files, the
Git bundle, the manifest, and last the pointer to it. Nothing is deleted or changed in a backup
but that pointer, and it moves only to a history that continues the one it names.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from facemodels.errors import ConflictError, InputError, IntegrityError
from facemodels.files import sha256, write_bytes
from facemodels.progress import progress
from facemodels.registry import audit as chain
from facemodels.registry.events import to_text
from facemodels.registry.registry import Registry, explain, open_registry
from facemodels.registry.state import State
from facemodels.storage.backup import bundle
from facemodels.storage.backup.manifest import (
    LATEST,
    Held,
    Latest,
    Manifest,
    read_latest,
    read_manifest,
)
from facemodels.storage.remotes.setup import BACKUP
from facemodels.storage.stores.errors import Patience
from facemodels.storage.stores.named_files import Shelf
from facemodels.storage.stores.object_store import CACHE
from facemodels.storage.stores.objects import Objects, folder_of, kept, objects_of
from facemodels.storage.stores.stores import JOBS, Stores, each, total


@dataclass(frozen=True)
class Order:
    """What is asked of a backup.

    Attributes:
        to: name of the remote that holds it.
        dry_run: say what would be done.
        reread: read all objects that are there again, not only those copied now.
        jobs: objects on their way at once.
        clock: seconds since 1970.
        patience: with a store that does not answer; None: the usual.
    """

    to: str = BACKUP
    dry_run: bool = False
    reread: bool = False
    jobs: int = JOBS
    clock: Callable[[], float] = time.time
    patience: Patience | None = None


@dataclass(frozen=True)
class Report:
    """What a backup did, or would do.

    Attributes:
        to: URL of the place.
        dry_run: nothing was sent.
        versions: ids whose objects are there now.
        copied: bytes of the objects that were missing or damaged there, by id.
        present: how many were there already.
        reread: how many objects were read again there and had their digests.
        archives: of versions that were retired, by name: those that were not there.
        new_bundle: the refs have changed since the backup before.
        refs: in the bundle.
        untracked: ids of versions that were registered without DVC.
        manifest: its name there; "" in a dry run.
        made_at: when it was complete; "" in a dry run.
    """

    to: str
    dry_run: bool
    versions: tuple[str, ...]
    copied: Mapping[str, int]
    present: int
    reread: int
    archives: tuple[str, ...]
    new_bundle: bool
    refs: int
    untracked: tuple[str, ...]
    manifest: str = ""
    made_at: str = ""

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {**asdict(self), "bytes": sum(self.copied.values())}

    def lines(self) -> list[str]:
        """For people."""
        done = "To copy" if self.dry_run else "Copied"
        lines = [
            f"{done} to {self.to}: {len(self.copied)} objects "
            f"({total(list(self.copied.values()))}); {self.present} were there.",
            f"Git: {self.refs} refs, {'changed since' if self.new_bundle else 'as in'} the backup "
            "before.",
        ]
        if self.archives:
            lines.append(f"Archives: {', '.join(self.archives)}.")
        if self.untracked:
            lines.append(f"Registered without DVC, no objects: {', '.join(self.untracked)}.")
        if not self.dry_run:
            lines.append(
                f"Complete since {self.made_at}: {len(self.versions)} versions; {self.reread} "
                "objects were read again there and are whole."
            )
        return lines


def back_up(root: Path, order: Order | None = None) -> Report:
    """Mirror what is registered to a second remote; only what is missing or damaged there.

    Args:
        root: of the repository.
        order: what is asked.

    Raises:
        InputError: there is no such remote, it is the default one, or the clone is shallow.
        IntegrityError: the audit of this clone finds something, the backup holds a history that
            this clone does not continue, or objects are nowhere to be had whole.
        ConflictError: another backup was faster.
        AccessError: a remote does not let us in. TransientError: it does not answer.
    """
    asked = order or Order()
    registry = open_registry(root)
    registry.repository.sync()
    findings = registry.audit()
    if findings:
        raise explain(findings)
    with tempfile.TemporaryDirectory(prefix="facemodels-") as scratch:
        return _Backup(registry, asked, Path(scratch)).run()


class _Backup:
    """One run."""

    def __init__(self, registry: Registry, order: Order, scratch: Path) -> None:
        self._git = registry.git
        self._state = registry.repository.state()
        self._order = order
        self._scratch = scratch
        self._stores = Stores(registry.root, order.patience)
        self._place = self._stores.remote(order.to)
        storage = self._stores.remote()
        if order.to == CACHE or self._place.url == storage.url:
            raise InputError(
                f"{order.to} is the default remote itself, or the cache.",
                "Give --to, or run `facemodels storage init --backup-url …`.",
            )
        self._sources = [self._stores.cache, storage, *self._stores.others(
            self._stores.cache, storage, self._place)]  # fmt: skip
        self._shelf = Shelf(self._place, order.patience)
        self._reread = 0

    def run(self) -> Report:
        refs = bundle.read_refs(self._git)
        latest, before = self._before(refs)
        objects = [objects_of(one, [*self._sources, self._place]) for one in kept(self._state)]
        sizes, needed = self._look(objects)
        archives = self._missing_archives()
        if not self._order.dry_run:
            self._copy(needed)
            self._copy_archives(archives)
            latest = self._publish(self._manifest(refs, before, objects, sizes), latest)
        entries = self._state.entries.values()
        report = Report(
            to=self._shelf.url, dry_run=self._order.dry_run,
            versions=tuple(one.id for one in objects),
            copied={oid: sizes[oid] for oid in needed}, present=len(sizes) - len(needed),
            reread=self._reread, archives=tuple(archives),
            new_bundle=before is None or before.refs != bundle.digest_of(refs), refs=len(refs),
            untracked=tuple(entry.id for entry in entries if folder_of(entry) is None),
        )  # fmt: skip
        return report if self._order.dry_run or latest is None else _complete(report, latest)

    # --- what there is -------------------------------------------------------------------

    def _before(self, refs: Mapping[str, str]) -> tuple[Latest | None, Manifest | None]:
        """The backup of before.

        Raises:
            IntegrityError: its history is not one that this clone continues.
        """
        latest = read_latest(self._shelf)
        if latest is None:
            return None, None
        manifest = read_manifest(self._shelf, latest)
        head = bundle.registry_head(refs) or None
        known = {event.object for event in chain.link(self._state.events, head).events}
        if manifest.head and manifest.head not in known:
            raise IntegrityError(
                f"the backup in {self._order.to} ends with an event ({manifest.head[:10]}) that "
                "this clone does not know.",
                "Fetch it (`facemodels registry sync`), or find out who rewrote the history. The "
                "backup was not touched.",
            )
        return latest, manifest

    def _look(self, objects: Sequence[Objects]) -> tuple[dict[str, int], list[str]]:
        """Bytes of all objects, by id; and those that are missing or damaged there."""
        there = self._place.sizes()
        sizes = self._sizes(dict.fromkeys(oid for one in objects for oid in one.oids), there)
        needed = [oid for oid, size in sizes.items() if there.get(oid) != size]
        if self._order.reread:
            present = [oid for oid in sizes if oid not in needed]
            with progress(f"read {self._order.to}", len(present)) as advance:
                for oid, whole in each(self._place.is_whole, present, self._order.jobs):
                    advance(1)
                    self._reread += whole
                    if not whole:
                        needed.append(oid)
        return sizes, needed

    def _sizes(self, oids: Iterable[str], there: Mapping[str, int]) -> dict[str, int]:
        """Bytes of objects, by the first place that has them; -1 where nobody has."""
        places: list[Mapping[str, int]] = [place.sizes() for place in self._sources[1:2]]
        cache = self._stores.cache
        found = {}
        for oid in oids:
            known = [sizes[oid] for sizes in places if oid in sizes]
            size = known[0] if known else cache.size(oid)
            found[oid] = there.get(oid, -1) if size is None else size
        return found

    def _missing_archives(self) -> dict[str, str]:
        """SHA-256 of archives that are not there as they were recorded, by name."""
        recorded = _archives(self._state)
        return {
            name: digest
            for name, digest in recorded.items()
            if self._shelf.digest(name) != digest
        }  # fmt: skip

    # --- copying -------------------------------------------------------------------------

    def _copy(self, needed: Sequence[str]) -> None:
        """Files first, folders' lists after them: who finds a list finds its files.

        Raises:
            IntegrityError: an object is nowhere whole; the other files were copied all the same.
        """
        files = [oid for oid in needed if not oid.endswith(".dir")]
        folders = [oid for oid in needed if oid.endswith(".dir")]
        with progress(f"back up to {self._order.to}", len(needed)) as advance:
            for group in (files, folders):
                lost = []
                for oid, whole in each(self._copy_one, group, self._order.jobs):
                    advance(1)
                    self._reread += whole
                    if not whole:
                        lost.append(oid)
                if lost:
                    raise IntegrityError(
                        "objects of released versions are nowhere whole",
                        "`facemodels storage audit --all` says which versions they belong to. The "
                        "backup before stands; all else was copied.",
                        missing=tuple(sorted(lost)),
                    )

    def _copy_one(self, oid: str) -> bool:
        """Copy an object and read it again there; False if nobody has it whole."""
        target = self._scratch / oid
        if not self._get(oid, target):
            return self._place.is_whole(oid)
        try:
            self._place.put(target, oid)
        finally:
            target.unlink()
        if not self._place.is_whole(oid):
            raise IntegrityError(
                f"{self._order.to} took {oid}, but what is there now is something else.",
                "Run it again; if it stays so, do not use that store.",
            )
        return True

    def _get(self, oid: str, target: Path) -> bool:
        for place in self._sources:
            try:
                place.get(oid, target)
            except IntegrityError:
                continue
            return True
        return False

    def _copy_archives(self, archives: Mapping[str, str]) -> None:
        storage = Shelf(self._sources[1], self._order.patience)
        for name, digest in archives.items():
            target = self._scratch / "archive"
            storage.fetch(name, target, digest)
            self._send(target, name, digest)
            target.unlink()

    def _manifest(
        self,
        refs: Mapping[str, str],
        before: Manifest | None,
        objects: Sequence[Objects],
        sizes: Mapping[str, int],
    ) -> Manifest:
        name, size = self._bundle(refs, before)
        return Manifest(
            head=bundle.registry_head(refs),
            bundle=name,
            bundle_size=size,
            refs=bundle.digest_of(refs),
            versions={
                one.id: Held(
                    one.folder,
                    str(self._state.entries[one.id].evidence.get("package", "")),
                    len(one.oids),
                    sum(sizes[oid] for oid in one.oids),
                )
                for one in objects
            },
            archives=_archives(self._state),
        )

    def _bundle(self, refs: Mapping[str, str], before: Manifest | None) -> tuple[str, int]:
        """Name and bytes of the bundle; it is sent unless the very refs are there, whole."""
        known = before if before and before.refs == bundle.digest_of(refs) else None
        if known and self._shelf.digest(known.bundle) == known.bundle_sha256:
            return known.bundle, known.bundle_size
        path = self._scratch / "refs.bundle"
        bundle.write_bundle(self._git, refs, path)
        if bundle.heads(path, self._git) != dict(refs):
            raise ConflictError(
                "Refs of this clone moved while they were bundled.",
                "The backup before stands. Run it again.",
            )
        digest = sha256(path)
        name = bundle.name_of(digest)
        self._send(path, name, digest)
        return name, path.stat().st_size

    def _send(self, source: Path, name: str, digest: str) -> None:
        """Copy a file and read it again there.

        Raises:
            IntegrityError: it is not what was sent.
        """
        self._shelf.send(source, name)
        if self._shelf.digest(name) != digest:
            raise IntegrityError(
                f"{self._order.to} took {name}, but what is there now is something else.",
                "Run it again; if it stays so, do not use that store.",
            )

    def _publish(self, manifest: Manifest, before: Latest | None) -> Latest:
        """Write the manifest, and let the pointer name it.

        Raises:
            ConflictError: another backup moved the pointer meanwhile.
        """
        if self._shelf.read(manifest.name) != manifest.data:
            path = self._scratch / "manifest.json"
            write_bytes(path, manifest.data)
            self._send(path, manifest.name, sha256(path))
        if read_latest(self._shelf) == before:
            latest = Latest(manifest.name, to_text(int(self._order.clock())))
            self._shelf.write(LATEST, latest.data)
            if read_latest(self._shelf) == latest:
                return latest
        raise ConflictError(
            f"Another backup to {self._order.to} was faster.", "Its result stands. Run it again."
        )


def _archives(state: State) -> dict[str, str]:
    """SHA-256 of the archives of retired versions, by name below the remote's URL."""
    records = [(event.record or {}).get("archive", {}) for event in state.archived.values()]
    return {
        str(one["path"]): str(one["sha256"]).removeprefix("sha256:")
        for one in records
        if "path" in one and "sha256" in one
    }


def _complete(report: Report, latest: Latest) -> Report:
    return replace(report, manifest=latest.manifest, made_at=latest.made_at)

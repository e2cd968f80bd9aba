"""Audit the cache and the remotes: find objects and archives that are missing or damaged.

All objects are listed. All of them are read again, or a sample that a seed decides. A store's own
ETag does not count here: it says what was written once, not what can be read today.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from facemodels.dvc_files import default_remote
from facemodels.errors import InputError, IntegrityError, ToolError
from facemodels.git import Git
from facemodels.progress import progress
from facemodels.registry.state import State
from facemodels.storage.stores.object_info import Listing
from facemodels.storage.stores.object_store import CACHE, ObjectStore
from facemodels.storage.stores.objects import (
    folder_of,
    ids_in_git,
    is_linked,
    read_lists,
    stored_versions,
    versions_by_object,
    with_children,
)
from facemodels.storage.stores.stores import BACKUP, JOBS, Stores, each, find_whole
from facemodels.storage.sync.archives import (
    RecordedArchive,
    audit_archives,
    recorded_archives,
    repair_archive,
)
from facemodels.storage.sync.documents import audit_documents
from facemodels.storage.sync.findings import AuditReport, Kind, ObjectFinding
from facemodels.storage.sync.workspace import outputs_with, unpushed


@dataclass(frozen=True)
class Sample:
    """Which objects an audit reads again.

    Attributes:
        share: the share of all objects, from 0 to 1.
        seed: the same seed takes the same objects on every machine, another seed takes others.
    """

    share: float = 1.0
    seed: str = ""

    def takes(self, oid: str) -> bool:
        """Whether an object is in the sample."""
        drawn = hashlib.sha256(f"{self.seed}:{oid}".encode()).digest()
        return int.from_bytes(drawn[:8], "big") < self.share * 2**64


def parse_share(text: str) -> float:
    """Read a share such as `5%` or `0.05`, above 0 and up to 1.

    Raises:
        InputError: the text is no such share.
    """
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise InputError(f"{text!r} is no share of the objects.", "Write 5% or 0.05, up to 100%.")
    return value


def audit(
    stores: Stores,
    state: State,
    git: Git,
    *,
    remotes: Sequence[str] = (),
    sample: Sample | None = None,
    repair: bool = False,
    dry_run: bool = False,
    jobs: int = JOBS,
) -> AuditReport:
    """Audit the cache and remotes, object by object.

    Args:
        stores: the stores of the repository.
        state: the state of the registry.
        git: Git in the repository; an object that any commit names is not extra.
        remotes: the names of the remotes; empty: all that are configured.
        sample: which objects are read again; None: all.
        repair: replace what is missing or corrupt by whole objects from other stores.
        dry_run: do not repair, but say where each object would come from.
        jobs: the number of objects read at once.

    Raises:
        InputError: there is no such remote.
        ToolError: no store at all can be read; one that cannot is named in the report.
    """
    audited = [stores.cache, *(stores.remote(name) for name in remotes or stores.names)]
    listings, unread = _listings(audited)
    reached = [store for store in audited if store.name in listings]
    objects, unknown = read_lists(
        stored_versions(state), lambda: _without(stores.all_from(*reached), unread)
    )
    names = versions_by_object(objects)
    if unknown is not None:
        names |= _unread_folders(state, names)
    run = _AuditRun(stores, state, names, jobs, sample or Sample())
    needed = with_children(ids_in_git(git), reached) | names.keys()
    findings: list[ObjectFinding] = []
    documents: list[ObjectFinding] = []  # no other store has them: `storage backup` writes them
    facts: dict[str, Mapping[str, Any]] = {}
    for store in reached:
        try:
            found, facts[store.name] = run.audit(store, listings[store.name], needed)
            findings += found
            required = bool(state.entries) and store.name == BACKUP
            documents += _documents(store, default_remote(stores.root), required=required)
        except ToolError as error:
            unread[store.name] = error
        if store.name == default_remote(stores.root):
            listing = listings[store.name]
            archived = {folder_of(state.entries[one]) or "": one for one in state.archived}
            findings += unpushed(stores.root, store, listing, reached, names, archived)
    findings.sort(key=lambda f: (f.store, f.kind, f.item.endswith(".dir"), f.item))
    if repair or dry_run:
        findings = run.repair(reached, findings, unread, dry_run=dry_run)
    findings += documents
    return AuditReport(
        facts, tuple(findings), repair and not dry_run, unread,
        len(run.linked), outputs_with(stores.root, run.linked, stores.cache),
    )  # fmt: skip


def _documents(store: ObjectStore, default: str, *, required: bool) -> list[ObjectFinding]:
    """What is wrong with the documents of a backup; the cache and the storage have none.

    After `facemodels storage recover`, the backup is the default remote.
    """
    if store.name in {CACHE, default} - {BACKUP}:
        return []
    return audit_documents(store, required=required)


def _listings(audited: Sequence[ObjectStore]) -> tuple[dict[str, Listing], dict[str, ToolError]]:
    """What lies in each store, and why others cannot be read, by name."""
    listings: dict[str, Listing] = {}
    unread: dict[str, ToolError] = {}
    for store in audited:
        try:
            listings[store.name] = store.listing()
        except ToolError as error:
            unread[store.name] = error
    if not listings:
        raise next(iter(unread.values()))
    return listings, unread


def _without(stores: Iterable[ObjectStore], names: Container[str]) -> list[ObjectStore]:
    return [store for store in stores if store.name not in names]


def _unread_folders(
    state: State, known: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """The versions of each folder whose list is whole nowhere: the list itself is missing."""
    found: dict[str, tuple[str, ...]] = {}
    for entry in stored_versions(state):
        folder = str(entry.evidence["dvc"]).removeprefix("md5:")
        if folder not in known:
            found[folder] = (*found.get(folder, ()), entry.id)
    return found


class _AuditRun:
    """One audit; it knows which objects released versions need.

    Args:
        stores: the stores of the repository.
        state: the state of the registry.
        names: the versions that each object belongs to.
        jobs: the number of objects read at once.
        sample: which objects are read again.
    """

    def __init__(
        self,
        stores: Stores,
        state: State,
        names: Mapping[str, tuple[str, ...]],
        jobs: int,
        sample: Sample,
    ) -> None:
        self._stores = stores
        self._names = names
        self._jobs = jobs
        self._sample = sample
        self._archives = {one.path: one for one in recorded_archives(state)}
        self.linked: list[str] = []
        # A backup keeps what an archive has by now; nothing mends it there, and nobody needs it.
        left = (one.objects for one in self._archives.values())
        self._left = frozenset().union(*left) - names.keys()

    def audit(
        self, store: ObjectStore, listing: Listing, needed: Iterable[str]
    ) -> tuple[list[ObjectFinding], dict[str, Any]]:
        """What is wrong in a store, and what was looked at there."""
        corrupt, read = self.read(store, listing)
        found = [*corrupt, *self.compare(store, listing, needed, {f.item for f in corrupt})]
        archives = self._archives_of(store)
        found += audit_archives(store, archives, filter(self._sample.takes, self._archives))
        return found, {
            "url": store.url, "objects": len(listing.objects), "read": len(read),
            "bytes_read": sum(listing.objects[oid].size for oid in read),
            "archives": len(archives),
        }  # fmt: skip

    def _archives_of(self, store: ObjectStore) -> list[RecordedArchive]:
        """The archives that a store should have: the default remote and the backup have all."""
        homes = {BACKUP, default_remote(self._stores.root)}
        return list(self._archives.values()) if store.name in homes else []

    def read(self, store: ObjectStore, listing: Listing) -> tuple[list[ObjectFinding], list[str]]:
        """Read the objects of the sample; return what is corrupt, and the ids that were read."""
        asked = [oid for oid in listing.objects if self._sample.takes(oid)]
        corrupt, read = [], []
        with progress(f"audit {store.name}", len(asked)) as advance:
            for oid, digest in each(store.digest, asked, self._jobs):
                advance(1)
                read.append(oid)
                # None: it was deleted between the listing and the reading
                if digest != oid.removesuffix(".dir") and (
                    digest is not None or oid in self._names
                ):
                    kind: Kind = "missing" if digest is None else "corrupt"
                    if oid in self._left:
                        kind = "extra"
                    names = self._names.get(oid, ())
                    corrupt.append(ObjectFinding(store.name, kind, oid, names))
        return corrupt, read

    def compare(
        self, store: ObjectStore, listing: Listing, needed: Iterable[str], corrupt: set[str]
    ) -> list[ObjectFinding]:
        """What is missing in a store, and what nothing needs."""
        extra = listing.objects.keys() - set(needed) - corrupt
        found = [ObjectFinding(store.name, "extra", oid) for oid in extra]
        found += [ObjectFinding(store.name, "foreign", path) for path in listing.foreign]
        if store.name != CACHE:  # which need not have everything
            missing = self._names.keys() - listing.objects.keys()
            found += [
                ObjectFinding(store.name, "missing", oid, self._names[oid]) for oid in missing
            ]
        return found

    def repair(
        self,
        audited: Sequence[ObjectStore],
        findings: Sequence[ObjectFinding],
        unread: Container[str],
        *,
        dry_run: bool,
    ) -> list[ObjectFinding]:
        """Repair what is wrong; return the findings with the store that each was copied from."""
        by_name = {store.name: store for store in audited}
        done = []
        wrong = sum(f.is_wrong for f in findings)
        with progress("look for repairs" if dry_run else "repair", wrong) as advance:
            # `.dir` objects last, over all stores: a list comes when its files are whole
            for finding in sorted(findings, key=lambda f: f.item.endswith(".dir")):
                if not finding.is_wrong:
                    done.append(finding)
                    continue
                store = by_name[finding.store]
                others = _without(self._stores.others(store), unread)
                source = self._repaired(finding.item, store, others, dry_run=dry_run)
                done.append(replace(finding, repair=source))
                advance(1)
        return sorted(done, key=lambda f: (f.store, f.kind, f.item))

    def _repaired(
        self, item: str, store: ObjectStore, others: Sequence[ObjectStore], *, dry_run: bool
    ) -> str:
        """The name of the store that an object or archive was copied from; empty if from none."""
        if item in self._archives:
            archive = self._archives[item]
            return repair_archive(archive, store, others, self._stores.root, dry_run=dry_run)
        source = find_whole(item, others)
        if source is not None and not dry_run:
            if store.name == CACHE and is_linked(store, item):
                self.linked.append(item)
            _copy(self._stores, item, source, store)
        return "" if source is None else source.name


def _copy(stores: Stores, oid: str, source: ObjectStore, target: ObjectStore) -> None:
    """Copy an object from store to store, and check it in both.

    Raises:
        IntegrityError: what the target holds now is not what was sent.
    """
    if target.name == CACHE:
        target.copy_from(source, oid)
        return
    with tempfile.TemporaryDirectory(prefix="facemodels-") as scratch:
        copy = Path(scratch, "object")
        source.get(oid, copy)
        target.put(copy, oid)
    if not target.is_whole(oid):
        raise IntegrityError(
            f"{target.name} took {oid}, but what can be read there is not what was sent.",
            "The store is broken, or somebody else writes there; do not use it.",
        )
    info = target.info(oid)
    if info is not None:
        stores.ledger.note(target.url, oid, info)

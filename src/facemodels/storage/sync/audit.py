"""Audit the cache and the remotes: find objects that are missing or not what their name says.

All objects are listed. All of them are read again, or a sample that a seed decides. A store's own
ETag does not count here: it says what was written once, not what can be read today.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from facemodels.errors import InputError, IntegrityError
from facemodels.git import Git
from facemodels.progress import progress
from facemodels.registry.state import State
from facemodels.storage.stores.object_info import Listing
from facemodels.storage.stores.object_store import CACHE, ObjectStore
from facemodels.storage.stores.objects import (
    ids_in_git,
    read_lists,
    stored_versions,
    versions_by_object,
    with_children,
)
from facemodels.storage.stores.stores import JOBS, Stores, each, find_whole

Kind = Literal["missing", "corrupt", "extra", "foreign"]


@dataclass(frozen=True)
class ObjectFinding:
    """An object that is not as it should be, or a file that is no object.

    Attributes:
        store: the name of the store.
        kind: `missing`: a released version needs it and it is not there; `corrupt`: its bytes are
            not what its name says; `extra`: no version and no commit names it; `foreign`: the file
            is no object.
        item: the object id; of a foreign file, its path.
        versions: the ids of the versions that the object belongs to.
        repair: the store that it was, or would be, copied from; empty if it was not repaired.
    """

    store: str
    kind: Kind
    item: str
    versions: tuple[str, ...] = ()
    repair: str = ""

    @property
    def is_wrong(self) -> bool:
        """Whether an object is lost; extra and foreign files do no harm."""
        return self.kind in ("missing", "corrupt")


@dataclass(frozen=True)
class AuditReport:
    """What an audit found.

    Attributes:
        stores: for each store, by name: `url`, the number of `objects` in it, the number that were
            `read`, and `bytes_read`.
        findings: what is not as it should be.
        repaired: whether the repairs were made, and not only looked for.
    """

    stores: Mapping[str, Mapping[str, Any]]
    findings: tuple[ObjectFinding, ...]
    repaired: bool

    @property
    def open(self) -> tuple[ObjectFinding, ...]:
        """The missing and corrupt objects that were not repaired."""
        return tuple(f for f in self.findings if f.is_wrong and not (self.repaired and f.repair))

    def as_json(self) -> dict[str, Any]:
        """The report as values of JSON."""
        return {
            "places": {name: dict(facts) for name, facts in self.stores.items()},
            "repaired": self.repaired,
            "findings": [
                {
                    "place": f.store, "kind": f.kind, "item": f.item,
                    "versions": list(f.versions), "repair": f.repair,
                }
                for f in self.findings
            ],
        }  # fmt: skip


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
        AccessError: a remote refuses access.
        TransientError: a remote did not answer for longer than the stores' patience.
    """
    audited = [stores.cache, *(stores.remote(name) for name in remotes or stores.names)]
    objects, unknown = read_lists(stored_versions(state), lambda: stores.all_from(*audited))
    names = versions_by_object(objects)
    if unknown is not None:
        names |= _unread_folders(state, names)
    run = _AuditRun(names, jobs, sample or Sample())
    needed = with_children(ids_in_git(git), audited) | names.keys()
    findings: list[ObjectFinding] = []
    facts: dict[str, Mapping[str, Any]] = {}
    for store in audited:
        listing = store.listing()
        corrupt, read = run.read(store, listing)
        findings += corrupt
        findings += run.compare(store, listing, needed, {f.item for f in corrupt})
        facts[store.name] = {
            "url": store.url, "objects": len(listing.objects), "read": len(read),
            "bytes_read": sum(listing.objects[oid].size for oid in read),
        }  # fmt: skip
    findings.sort(key=lambda f: (f.store, f.kind, f.item.endswith(".dir"), f.item))
    if repair or dry_run:
        findings = _repair(stores, audited, findings, dry_run=dry_run)
    return AuditReport(facts, tuple(findings), repair and not dry_run)


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
    """One audit; it knows which objects released versions need."""

    def __init__(self, names: Mapping[str, tuple[str, ...]], jobs: int, sample: Sample) -> None:
        self._names = names
        self._jobs = jobs
        self._sample = sample

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


def _repair(
    stores: Stores,
    audited: Sequence[ObjectStore],
    findings: Sequence[ObjectFinding],
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
            source = find_whole(finding.item, stores.others(store))
            if source is not None and not dry_run:
                _copy(stores, finding.item, source, store)
            done.append(replace(finding, repair="" if source is None else source.name))
            advance(1)
    return sorted(done, key=lambda f: (f.store, f.kind, f.item))


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


def explain(found: AuditReport) -> IntegrityError:
    """Make an error, with exit code 3, of what is missing or corrupt and not repaired."""
    versions = sorted({version for f in found.open for version in f.versions})
    counted = Counter((f.store, f.kind) for f in found.open)
    words = ", ".join(f"{count} {kind} in {store}" for (store, kind), count in counted.items())
    return IntegrityError(
        f"objects are not as they were pushed: {words}"
        + (f"; of {', '.join(versions)}" if versions else ""),
        "Run `facemodels storage audit --repair`; what it cannot repair is whole nowhere: "
        "restore the versions (`facemodels storage restore`) or push from another clone.",
    )

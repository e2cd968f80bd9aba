"""Audit: is each object of the cache and the remotes what its name says, and is any missing?

Everything is listed; what is read again is all, or a sample that a seed decides. A store's own
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
from facemodels.storage.stores.object_store import CACHE, Listing, Place
from facemodels.storage.stores.objects import kept, lists_of, recorded_in_git, users, with_children
from facemodels.storage.stores.stores import JOBS, Stores, each, find_whole

Kind = Literal["missing", "corrupt", "extra", "foreign"]


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        place: cache or remote.
        kind: missing: of a released version and not there; corrupt: not what its name says;
            extra: whole, and no version and no commit speaks of it; foreign: no object.
        item: object id; the path of what is foreign.
        versions: that it belongs to.
        repair: where it was, or would be, brought from; empty if it was not repaired.
    """

    place: str
    kind: Kind
    item: str
    versions: tuple[str, ...] = ()
    repair: str = ""

    @property
    def is_wrong(self) -> bool:
        """Whether something is lost; what lies there without need is no harm."""
        return self.kind in ("missing", "corrupt")


@dataclass(frozen=True)
class Audit:
    """What an audit saw.

    Attributes:
        places: for each its url, how many objects lie there, how many were read, their bytes.
        findings: what is not as it should be.
        repaired: whether the repairs were made, and not only looked for.
    """

    places: Mapping[str, Mapping[str, Any]]
    findings: tuple[Finding, ...]
    repaired: bool

    @property
    def open(self) -> tuple[Finding, ...]:
        """What is wrong still."""
        return tuple(f for f in self.findings if f.is_wrong and not (self.repaired and f.repair))

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "places": {name: dict(facts) for name, facts in self.places.items()},
            "repaired": self.repaired,
            "findings": [
                {
                    "place": f.place, "kind": f.kind, "item": f.item,
                    "versions": list(f.versions), "repair": f.repair,
                }
                for f in self.findings
            ],
        }  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """Which objects are read again.

    Attributes:
        share: of all, from 0 to 1.
        seed: another seed takes others; the same seed takes the same on every machine.
    """

    share: float = 1.0
    seed: str = ""

    def takes(self, oid: str) -> bool:
        """Whether an object is in the sample."""
        drawn = hashlib.sha256(f"{self.seed}:{oid}".encode()).digest()
        return int.from_bytes(drawn[:8], "big") < self.share * 2**64


def parse_share(text: str) -> float:
    """The share that `5%` or `0.05` says, above 0 and up to 1.

    Raises:
        InputError: no such share.
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
) -> Audit:
    """Look at the cache and at remotes, object by object.

    Args:
        stores: of the repository.
        state: of the registry.
        git: of the repository; what any commit speaks of is not extra.
        remotes: names; none: all that are configured.
        sample: which objects are read again; None: all.
        repair: put whole objects in the place of what is missing or corrupt.
        dry_run: of the repair: say where each would come from.
        jobs: objects read at once; hashing them leaves the interpreter free.

    Raises:
        InputError: there is no such remote.
        AccessError: a remote does not let us in.
        TransientError: one did not answer for longer than the stores' patience.
    """
    places = [stores.cache, *(stores.remote(name) for name in remotes or stores.names)]
    objects, unknown = lists_of(kept(state), lambda: stores.all_from(*places))
    names = users(objects)
    if unknown is not None:
        names |= _only_folders(state, names)
    seen = _Audit(names, jobs, sample or Sample())
    needed = with_children(recorded_in_git(git), places) | names.keys()
    findings: list[Finding] = []
    facts: dict[str, Mapping[str, Any]] = {}
    for place in places:
        listing = place.listing()
        corrupt, read = seen.read(place, listing)
        findings += corrupt
        findings += seen.compare(place, listing, needed, {f.item for f in corrupt})
        facts[place.name] = {
            "url": place.url, "objects": len(listing.objects), "read": len(read),
            "bytes_read": sum(listing.objects[oid].size for oid in read),
        }  # fmt: skip
    findings.sort(key=lambda f: (f.place, f.kind, f.item.endswith(".dir"), f.item))
    if repair or dry_run:
        findings = _repair(stores, places, findings, dry_run=dry_run)
    return Audit(facts, tuple(findings), repair and not dry_run)


def _only_folders(state: State, known: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Versions whose list of files is nowhere whole: the list itself is what is missing."""
    found: dict[str, tuple[str, ...]] = {}
    for entry in kept(state):
        folder = str(entry.evidence["dvc"]).removeprefix("md5:")
        if folder not in known:
            found[folder] = (*found.get(folder, ()), entry.id)
    return found


class _Audit:
    """What must be where."""

    def __init__(self, names: Mapping[str, tuple[str, ...]], jobs: int, sample: Sample) -> None:
        self._names = names
        self._jobs = jobs
        self._sample = sample

    def read(self, place: Place, listing: Listing) -> tuple[list[Finding], list[str]]:
        """What is corrupt, and what was read to see it."""
        asked = [oid for oid in listing.objects if self._sample.takes(oid)]
        corrupt, read = [], []
        with progress(f"audit {place.name}", len(asked)) as advance:
            for oid, digest in each(place.digest, asked, self._jobs):
                advance(1)
                read.append(oid)
                # None: it was deleted between the listing and the reading
                if digest != oid.removesuffix(".dir") and (
                    digest is not None or oid in self._names
                ):
                    kind: Kind = "missing" if digest is None else "corrupt"
                    corrupt.append(Finding(place.name, kind, oid, self._names.get(oid, ())))
        return corrupt, read

    def compare(
        self, place: Place, listing: Listing, needed: Iterable[str], corrupt: set[str]
    ) -> list[Finding]:
        """What is missing, and what nobody needs."""
        extra = listing.objects.keys() - set(needed) - corrupt
        found = [Finding(place.name, "extra", oid) for oid in extra]
        found += [Finding(place.name, "foreign", path) for path in listing.foreign]
        if place.name != CACHE:  # which need not have everything
            missing = self._names.keys() - listing.objects.keys()
            found += [Finding(place.name, "missing", oid, self._names[oid]) for oid in missing]
        return found


def _repair(
    stores: Stores, places: Sequence[Place], findings: Sequence[Finding], *, dry_run: bool
) -> list[Finding]:
    """The same findings, each with where it was brought from; files go before their lists."""
    by_name = {place.name: place for place in places}
    done = []
    wrong = sum(f.is_wrong for f in findings)
    with progress("look for repairs" if dry_run else "repair", wrong) as advance:
        # `.dir` last over all places: its files are whole when it comes
        for finding in sorted(findings, key=lambda f: f.item.endswith(".dir")):
            if not finding.is_wrong:
                done.append(finding)
                continue
            place = by_name[finding.place]
            source = find_whole(finding.item, stores.others(place))
            if source is not None and not dry_run:
                _bring(stores, finding.item, source, place)
            done.append(replace(finding, repair="" if source is None else source.name))
            advance(1)
    return sorted(done, key=lambda f: (f.place, f.kind, f.item))


def _bring(stores: Stores, oid: str, source: Place, place: Place) -> None:
    """Copy an object from place to place, checked at both ends.

    Raises:
        IntegrityError: what is there now is not what was sent.
    """
    if place.name == CACHE:
        place.take(oid, source)
        return
    with tempfile.TemporaryDirectory(prefix="facemodels-") as scratch:
        copy = Path(scratch, "object")
        source.get(oid, copy)
        place.put(copy, oid)
    if not place.is_whole(oid):
        raise IntegrityError(
            f"{place.name} took {oid}, but what can be read there is not what was sent.",
            "The store is broken, or somebody else writes there; do not use it.",
        )
    stamp = place.stamp(oid)
    if stamp is not None:
        stores.ledger.note(place.url, oid, stamp)


def explain(found: Audit) -> IntegrityError:
    """What is wrong still as an error, for exit code 3."""
    versions = sorted({version for f in found.open for version in f.versions})
    counted = Counter((f.place, f.kind) for f in found.open)
    words = ", ".join(f"{count} {kind} in {place}" for (place, kind), count in counted.items())
    return IntegrityError(
        f"objects are not as they were pushed: {words}"
        + (f"; of {', '.join(versions)}" if versions else ""),
        "Run `facemodels storage audit --repair`; what it cannot repair is whole nowhere: "
        "restore the versions (`facemodels storage restore`) or push from another clone.",
    )

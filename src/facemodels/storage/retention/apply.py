"""Retention, done: archives first, then the registry, then the deletions.

1. Each version that goes is packed, sent, read back and checked against the registry.
2. An event says that it is in the archive; from then on no rule lets it serve. The event is a
   compare-and-swap, decided on the state of that moment: of two runs at once the second stops
   with a conflict, and a version that somebody promoted meanwhile stays.
3. What no kept version and no revision needs is deleted, computed anew from the state after
   the events, a folder's list after its files. Then the registry is read once more: what a
   version needs that was registered or restored meanwhile comes back from the archives.

A run that is killed anywhere has lost nothing, and the next one goes on where it stopped: an
archive that is there and whole is not sent again, and the events say what is left to delete.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facemodels.errors import ConflictError, FacemodelsError, IntegrityError
from facemodels.names import ModelId
from facemodels.params import load_yaml
from facemodels.registry import rules
from facemodels.registry.registry import Registry
from facemodels.registry.state import Entry, State
from facemodels.storage.retention import plan as retention
from facemodels.storage.retention.archive import gather, put
from facemodels.storage.retention.archives import Archives
from facemodels.storage.retention.plan import Plan
from facemodels.storage.retention.reachable import Lists, references
from facemodels.storage.retention.settings import Retention
from facemodels.storage.stores.object_store import Child, Place
from facemodels.storage.stores.objects import Objects, folder_of

_FLAGS = Path("conf", "deploy")
_PARAMS = Path("params.yaml")


@dataclass
class Outcome:
    """What was done.

    Attributes:
        plan: that it began with.
        archived: versions that went, in this run.
        deleted: how many objects went, by place.
        bytes: of the objects that went from the remote.
        failed: why versions could not go, by id.
        returned: objects that were put back, as somebody needed them meanwhile.
    """

    plan: Plan
    archived: list[str] = field(default_factory=list)
    deleted: dict[str, int] = field(default_factory=dict)
    bytes: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    returned: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Survey:
    """What retention would do and what it saw.

    Attributes:
        plan: what would be done.
        objects: of the versions, by id, as far as their lists are anywhere.
        needed: objects that revisions refer to.
        pointers: files of the working tree that name a package that goes or went: `dvc pull`
            would look for it in vain.
        unread: folders of revisions whose list is nowhere; their files are not known.
        broken: versions that should go and whose list is nowhere.
    """

    plan: Plan
    objects: Mapping[str, Objects]
    needed: Collection[str] = ()
    pointers: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()


class Keeper:
    """Retention of one clone and one remote.

    Args:
        registry: of the clone.
        settings: of the repository.
        cache: of the clone.
        remote: whose objects are looked after.
        clock: seconds since 1970.
        before: called with a word for every step before it is made (tests stop there).
    """

    def __init__(
        self,
        registry: Registry,
        settings: Retention,
        cache: Place,
        remote: Place,
        *,
        clock: Callable[[], float] = time.time,
        before: Callable[[str], None] | None = None,
    ) -> None:
        self._registry = registry
        self._settings = settings
        self._places = (remote, cache)
        self._archives = Archives(remote, settings.archive)
        self._lists = Lists((cache, remote))
        self._clock = clock
        self._before = before or (lambda _: None)
        self._proven: set[str] = set()  # archives that were read back in this run

    def survey(self) -> Survey:
        """What `apply` would do; nothing is changed.

        Raises:
            IntegrityError: the list of a version that is kept is nowhere, so that nobody knows
                what it shares with one that goes.
            InputError: conf/retention.yaml lists an id that is not registered.
            ToolError: Git or the remote cannot be reached.
        """
        self._registry.repository.sync()
        return self._survey(self._registry.repository.state())

    def apply(self) -> Outcome:
        """Archive what goes, then delete what nobody needs.

        Versions that cannot go, as their objects are damaged, stay and are named; the others go.

        Raises:
            ConflictError: somebody else changed one of the models meanwhile; run it again.
            RuleError: the user may not archive.
        """
        seen = self.survey()
        outcome = Outcome(seen.plan)
        outcome.failed |= dict.fromkeys(seen.broken, "the list of its files is nowhere")
        state = self._registry.repository.state()
        reasons = {one.id: one.reason for one in seen.plan.decisions}
        for identity in seen.plan.retired:
            if identity in outcome.failed:
                continue
            try:
                self._archive(state.entry(identity), reasons[identity])
            except IntegrityError as error:
                outcome.failed[identity] = str(error)
            else:
                outcome.archived.append(identity)
        self._sweep(outcome)
        return outcome

    # --- what would be done --------------------------------------------------------------

    def _survey(self, state: State) -> Survey:
        now, named = self._clock(), named_elsewhere(self._registry.root, state)
        decisions = retention.decide(state, self._settings, now, named)
        sizes = self._sizes()
        folders = {one: folder_of(entry) or "" for one, entry in state.entries.items()}
        lists = self._lists.read(folder for folder in folders.values() if folder)
        objects = {one: left for one in state.archived if (left := _recorded_objects(state, one))}
        objects |= {
            one: Objects(one, folder, lists[folder])
            for one, folder in folders.items()
            if folder in lists
        }
        loose = {one.id for one in decisions if one.action != "keep" and one.id in objects}
        gone = {oid for one in loose for oid in objects[one].oids}
        if not gone & sizes.keys():
            return Survey(self._plan(state, objects, sizes, (), now, named), objects)
        lost = [
            one.id
            for one in decisions
            if one.action == "keep" and folders[one.id] and one.id not in objects
        ]
        if lost:
            raise IntegrityError(
                "nothing can be deleted: of versions that are kept, the lists of files are nowhere",
                "Push them from a clone that has them; see `facemodels storage audit --repair`.",
                missing=tuple(lost),
            )
        found = references(
            self._registry.git,
            self._lists,
            {folders[one]: _path(state.entries[one]) for one in loose},
            gone,
            [event.tag for event in state.events if state.id_of(event) in loose],
        )
        return Survey(
            self._plan(state, objects, sizes, found.oids, now, named),
            objects,
            found.oids,
            tuple(sorted(found.pointers)),
            tuple(sorted(found.unread)),
            tuple(one.id for one in decisions if one.action == "archive" and one.id not in objects),
        )

    def _plan(
        self,
        state: State,
        objects: Mapping[str, Objects],
        sizes: Mapping[str, int],
        needed: Collection[str],
        now: float,
        named: Mapping[str, str],
    ) -> Plan:
        return retention.plan(
            state, self._settings, now, objects, sizes, needed=needed, named=named
        )

    def _sizes(self) -> dict[str, int]:
        """Of everything in the cache or the remote; where they differ, the remote's."""
        sizes: dict[str, int] = {}
        for place in reversed(self._places):
            sizes |= place.sizes()
        return sizes

    # --- archive -------------------------------------------------------------------------

    def _archive(self, entry: Entry, reason: str) -> None:
        """Put one version away and say so; its objects stay where they are.

        Raises:
            IntegrityError: its objects are damaged, or the archive did not come back whole.
            ConflictError: see `apply`.
        """
        with tempfile.TemporaryDirectory(prefix="facemodels-") as scratch:
            facts = self._put_away(entry, Path(scratch))
        self._before(f"record {entry.id}")

        def change(state: State) -> rules.ProposedEvent:
            named = named_elsewhere(self._registry.root, state)
            decisions = retention.decide(state, self._settings, self._clock(), named)
            if not any((one.id, one.action) == (entry.id, "archive") for one in decisions):
                raise ConflictError(
                    f"{entry.id} need not go to the archive any more: somebody used it, or "
                    "another retention was faster.",
                    "Nothing was deleted. Run it again.",
                )
            return rules.archive(state, ModelId.parse(entry.id), facts, reason=reason)

        self._registry.repository.add(change)
        self._proven.add(entry.id)

    def _put_away(self, entry: Entry, scratch: Path) -> dict[str, Any]:
        self._before(f"look for {entry.id}")
        for name in ("there", "packed", "back"):
            (scratch / name).mkdir()
        try:
            facts, content = self._archives.fetch(entry, scratch / "there")
        except IntegrityError:
            pass  # none yet, or one that a killed run left half
        else:
            return {**facts.as_json(), "objects": list(content.objects)}
        self._before(f"pack {entry.id}")
        content = gather(entry, list(reversed(self._places)), scratch / "packed")
        self._archives.send(entry, content, scratch, before=self._before)
        self._before(f"read back {entry.id}")
        facts, content = self._archives.fetch(entry, scratch / "back")
        return {**facts.as_json(), "objects": list(content.objects)}

    # --- delete --------------------------------------------------------------------------

    def _sweep(self, outcome: Outcome) -> None:
        """Delete what versions in the archive have left behind and nobody needs."""
        seen = self.survey()
        state = self._registry.repository.state()
        gone = {one.id for one in seen.plan.decisions if one.action == "archived"}
        going = set(seen.plan.objects)
        unproven: set[str] = set()
        for identity in sorted(gone & seen.objects.keys()):
            oids = going & set(seen.objects[identity].oids)
            if oids and not self._is_proven(state, identity, outcome):
                unproven |= set(seen.objects[identity].oids)
        # A version that could not be archived keeps what it has.
        for one in seen.plan.decisions:
            if one.action == "archive" and one.id in seen.objects:
                unproven |= set(seen.objects[one.id].oids)
        doomed = [oid for oid in seen.plan.objects if oid not in unproven]
        for place in self._places:
            there = place.sizes()
            mine = [oid for oid in doomed if oid in there]
            for oid in mine:
                self._before(f"delete {oid} from {place.name}")
                place.delete(oid)
            outcome.deleted[place.name] = len(mine)
            if place is self._places[0]:
                outcome.bytes = sum(there[oid] for oid in mine)
        self._before("look again")
        holders = {one: seen.objects[one] for one in gone & seen.objects.keys()}
        outcome.returned += self._return(set(doomed), holders, state)

    def _is_proven(self, state: State, identity: str, outcome: Outcome) -> bool:
        """Whether a version's archive is there and whole."""
        if identity in self._proven:
            return True
        try:
            with tempfile.TemporaryDirectory(prefix="facemodels-") as scratch:
                self._archives.fetch(
                    state.entry(identity), Path(scratch), recorded(state, identity)
                )
        except IntegrityError as error:
            outcome.failed[identity] = str(error)
            return False
        self._proven.add(identity)
        return True

    def _return(
        self, deleted: Collection[str], holders: Mapping[str, Objects], before: State
    ) -> list[str]:
        """Put back what somebody needs by now.

        Whoever registers or restores a version looks whether its objects are there, then makes
        the event; whoever deletes does so before this look. One of the two sees the other.
        """
        self._registry.repository.sync()
        state = self._registry.repository.state()
        needed: set[str] = set()
        now, named = self._clock(), named_elsewhere(self._registry.root, state)
        for one in retention.decide(state, self._settings, now, named):
            folder = folder_of(state.entries[one.id])
            if one.action == "keep" and folder:
                lists = self._lists.read([folder])
                needed |= {folder, *(child.oid for child in lists.get(folder, ()))}
        missing = needed & set(deleted)
        back: list[str] = []
        for identity, own in holders.items():
            wanted = [oid for oid in own.oids if oid in missing]
            if wanted:
                self._put_back(before, identity, wanted)
                missing -= set(wanted)
                back += wanted
        return back

    def _put_back(self, state: State, identity: str, wanted: Iterable[str]) -> None:
        with tempfile.TemporaryDirectory(prefix="facemodels-") as scratch:
            _, content = self._archives.fetch(
                state.entry(identity), Path(scratch), recorded(state, identity)
            )
            for oid in wanted:
                for place in self._places:
                    put(place, content.objects[oid], oid)


def recorded(state: State, identity: str) -> Mapping[str, Any] | None:
    """What the registry says of a version's archive; None if it is in none."""
    event = state.archived.get(identity)
    facts = (event.record or {}).get("archive") if event else None
    return facts if isinstance(facts, dict) else None


def _recorded_objects(state: State, identity: str) -> Objects | None:
    """What a version in the archive was made of, also when its list was deleted long ago."""
    oids = (recorded(state, identity) or {}).get("objects")
    folder = folder_of(state.entries[identity])
    if not isinstance(oids, list) or folder is None:
        return None
    return Objects(identity, folder, tuple(Child(str(oid), "") for oid in oids if oid != folder))


def named_elsewhere(root: Path, state: State) -> dict[str, str]:
    """Versions that a file of the working tree asks for, with the reason: flags of conf/deploy,
    which have one kept ready, and the baselines of comparisons.

    Raises:
        ParamsError: one of the files cannot be read.
    """
    named: dict[str, str] = {}
    for path in sorted((root / _FLAGS).glob("*.yaml")):
        for flag in load_yaml(path).get("flags") or ():
            try:
                named[str(ModelId.parse(str(flag["model_id"])))] = f"a flag of {_FLAGS}/{path.name}"
            except (FacemodelsError, KeyError, TypeError):
                continue  # `facemodels up` says what is wrong with it
    if (root / _PARAMS).is_file():
        compare = load_yaml(root / _PARAMS).get("compare") or {}
        folders = {str(folder).rstrip("/") for folder in (compare.get("baselines") or {}).values()}
        for entry in state.entries.values():
            if _path(entry) in folders:
                named[entry.id] = f"a baseline of {_PARAMS}"
    return named


def _path(entry: Entry) -> str:
    """Of the package in the repository."""
    return str(entry.facts.get("path") or ModelId.parse(entry.id).folder)

"""Carries retention out: archives first, then the registry, then the deletions.

1. Each version to archive is packed, sent, read back and checked against the registry; the
   archive is copied to the backup and read back there too.
2. An event records that it is archived; from then on no rule lets it serve. The event is a
   compare-and-swap that is decided on the state of that moment: of two runs at once the second
   stops with a conflict, and a version that was promoted meanwhile stays.
3. What no kept version and no revision needs is computed anew from the state after the events and
   deleted, the list of a folder after its files. Then the registry is read again: objects of a
   version that was registered or restored meanwhile are put back from the archives.

A run that is killed at any moment has lost nothing, and the next one continues: an archive that
is there and whole is not sent again, and the events say what is left to delete.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facemodels.errors import ConflictError, IntegrityError
from facemodels.names import ModelId
from facemodels.registry import rules
from facemodels.registry.proposals import ProposedEvent
from facemodels.registry.state import Entry, State
from facemodels.storage.retention.archive_store import ArchiveFacts, recorded_archive
from facemodels.storage.retention.context import RetentionContext
from facemodels.storage.retention.plan import RetentionPlan
from facemodels.storage.retention.reachable import FolderLists
from facemodels.storage.retention.survey import RetentionSurvey, decide_now, survey
from facemodels.storage.retention.version_files import VersionFiles, gather
from facemodels.storage.stores.objects import VersionObjects, folder_of


@dataclass
class RetentionOutcome:
    """What a run of retention did.

    Attributes:
        plan: the plan that the run began with.
        archived: the ids of the versions that this run archived.
        deleted: the number of objects that were deleted, by the name of the store.
        bytes: the bytes of the objects that were deleted from the remote.
        failed: why versions could not be archived, by id.
        returned: the ids of objects that were put back because a version needs them by now.
        pointers: the files of the working tree that name an archived package (see `survey`).
    """

    plan: RetentionPlan
    archived: list[str] = field(default_factory=list)
    deleted: dict[str, int] = field(default_factory=dict)
    bytes: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    returned: list[str] = field(default_factory=list)
    pointers: tuple[str, ...] = ()


class RetentionRun:
    """One run of retention over one clone and one remote.

    Args:
        context: the clone and the remote.
        clock: gives the time in seconds since 1970.
    """

    def __init__(
        self, context: RetentionContext, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._context = context
        self._clock = clock
        self._lists = FolderLists((context.cache, context.remote))
        self._proven: set[str] = set()  # ids of versions whose archive was read back in this run

    def survey(self) -> RetentionSurvey:
        """Find out what `apply` would do; nothing is changed.

        Raises:
            IntegrityError: the list of a version that is kept is nowhere, so that nobody knows
                what it shares with one that is archived.
            InputError: conf/retention.yaml lists a version that is not registered.
            ToolError: Git or the remote cannot be reached.
        """
        return self._survey(self._context.refresh())

    def _survey(self, state: State) -> RetentionSurvey:
        return survey(self._context, state, self._clock(), self._lists)

    def apply(self) -> RetentionOutcome:
        """Archive the versions that need not stay, then delete the objects that nothing needs.

        A version whose objects are damaged is not archived and is named; the others are.

        Raises:
            InputError: no backup is configured, and nobody said why it may be done without.
            ConflictError: somebody else changed one of the models meanwhile; run it again.
            RuleError: the user may not archive.
            ToolError: the remote or the backup cannot be reached, or has no room.
        """
        state = self._context.refresh()
        seen = self._survey(state)
        if seen.plan.to_archive or seen.plan.objects:
            self._context.require_second_place()
        outcome = RetentionOutcome(seen.plan, pointers=seen.pointers)
        outcome.failed |= dict.fromkeys(seen.broken, "the list of its files is nowhere")
        reasons = {one.id: one.reason for one in seen.plan.decisions}
        for identity in seen.plan.to_archive:
            if identity in outcome.failed:
                continue
            try:
                self._archive(state.entry(identity), reasons[identity])
            except IntegrityError as error:
                outcome.failed[identity] = str(error)
            else:
                outcome.archived.append(identity)
        self._delete_unneeded(outcome)
        return outcome

    # --- archive -------------------------------------------------------------------------

    def _archive(self, entry: Entry, reason: str) -> None:
        """Archive one version and record it; its objects stay where they are.

        Raises:
            IntegrityError: its objects are damaged, or the archive did not come back whole.
            ConflictError: see `apply`.
        """
        facts, objects = self._archived(entry)
        self._copy(entry.id, facts)
        record: dict[str, Any] = {**facts.as_json(), "objects": objects}
        if self._context.without_backup:
            record["without_backup"] = self._context.without_backup
        self._context.before(f"record {entry.id}")

        def change(state: State) -> ProposedEvent:
            decisions = decide_now(self._context, state, self._clock())
            if not any((one.id, one.action) == (entry.id, "archive") for one in decisions):
                raise ConflictError(
                    f"{entry.id} need not go to the archive any more: somebody used it, or "
                    "another retention was faster.",
                    "Nothing was deleted. Run it again.",
                )
            return rules.archive(state, ModelId.parse(entry.id), record, reason=reason)

        self._context.registry.repository.add(change)
        self._proven.add(entry.id)

    def _archived(self, entry: Entry) -> tuple[ArchiveFacts, list[str]]:
        """The archive of a version, read back, and the ids of its objects.

        It is packed and sent unless it is there and whole.
        """
        before, archives = self._context.before, self._context.archives
        before(f"look for {entry.id}")
        try:
            return self._read_back(entry)
        except IntegrityError:
            pass  # there is none yet, or a killed run left a part of one
        before(f"pack {entry.id}")
        with tempfile.TemporaryDirectory(prefix="facemodels-") as scratch:
            files = gather(entry, (self._context.cache, self._context.remote), Path(scratch))
            archives.send(entry, files, before=before)
        before(f"read back {entry.id}")
        return self._read_back(entry)

    def _copy(self, identity: str, facts: ArchiveFacts) -> None:
        """Have the archive in the backup too."""
        context = self._context
        if context.backup is not None and not context.without_backup:
            context.before(f"copy {identity} to {context.backup.name}")
            context.archives.ensure_copy(facts, context.backup)

    def _read_back(self, entry: Entry) -> tuple[ArchiveFacts, list[str]]:
        with self._context.archives.open(entry) as (facts, files):
            return facts, list(files.objects)

    # --- delete --------------------------------------------------------------------------

    def _delete_unneeded(self, outcome: RetentionOutcome) -> None:
        """Delete the objects of archived versions that nothing needs."""
        state = self._context.refresh()
        seen = self._survey(state)
        archived = [one.id for one in seen.plan.decisions if one.action == "archived"]
        holders = {one: seen.objects[one] for one in archived if one in seen.objects}
        unproven = self._unproven(state, seen, holders, outcome)
        doomed = [oid for oid in seen.plan.objects if oid not in unproven]
        for store in self._context.stores:
            there = store.sizes()
            mine = [oid for oid in doomed if oid in there]
            for oid in mine:
                self._context.before(f"delete {oid} from {store.name}")
                store.delete(oid)
            outcome.deleted[store.name] = len(mine)
            if store is self._context.remote:
                outcome.bytes = sum(there[oid] for oid in mine)
        self._context.before("look again")
        outcome.returned += self._return(set(doomed), holders, state)

    def _unproven(
        self,
        state: State,
        seen: RetentionSurvey,
        holders: Mapping[str, VersionObjects],
        outcome: RetentionOutcome,
    ) -> set[str]:
        """The ids of objects that must stay, as no archive of their version was read back."""
        doomed = set(seen.plan.objects)
        unproven: set[str] = set()
        for identity, own in sorted(holders.items()):
            if doomed & set(own.oids) and not self._is_proven(state, identity, outcome):
                unproven |= set(own.oids)
        # A version that could not be archived keeps what it has.
        for one in seen.plan.decisions:
            if one.action == "archive" and one.id in seen.objects:
                unproven |= set(seen.objects[one.id].oids)
        return unproven

    def _is_proven(self, state: State, identity: str, outcome: RetentionOutcome) -> bool:
        """Whether a version's archive is whole, here and in the backup; it is copied there."""
        if identity in self._proven:
            return True
        try:
            with self._open(state, identity) as (facts, _):
                self._copy(identity, facts)
            self._proven.add(identity)
        except IntegrityError as error:
            outcome.failed[identity] = str(error)
            return False
        return True

    def _return(
        self, deleted: Collection[str], holders: Mapping[str, VersionObjects], before: State
    ) -> list[str]:
        """Put back the objects that a version needs by now; return their ids.

        Whoever registers or restores a version checks that its objects are there, and then makes
        the event; whoever deletes does so before this look. So one of the two sees the other.
        """
        missing = self._needed_now() & set(deleted)
        back: list[str] = []
        for identity, own in holders.items():
            wanted = [oid for oid in own.oids if oid in missing]
            if wanted:
                with self._open(before, identity) as (_, files):
                    self._context.put_missing(files, wanted)
                missing -= set(wanted)
                back += wanted
        return back

    def _needed_now(self) -> set[str]:
        """The ids of the objects of all versions that are kept by the newest events."""
        state = self._context.refresh()
        needed: set[str] = set()
        for one in decide_now(self._context, state, self._clock()):
            folder = folder_of(state.entries[one.id])
            if one.action == "keep" and folder:
                lists = self._lists.read([folder])
                needed |= {folder, *(child.oid for child in lists.get(folder, ()))}
        return needed

    def _open(
        self, state: State, identity: str
    ) -> AbstractContextManager[tuple[ArchiveFacts, VersionFiles]]:
        """The archive of a version, as the registry records it."""
        return self._context.archives.open(state.entry(identity), recorded_archive(state, identity))

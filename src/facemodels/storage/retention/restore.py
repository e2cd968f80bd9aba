"""Brings the objects of a version back into the remote and the cache, byte for byte."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from facemodels.errors import ConflictError, IntegrityError
from facemodels.names import ModelId
from facemodels.registry import rules
from facemodels.registry.proposals import ProposedEvent
from facemodels.registry.state import Entry, State
from facemodels.storage.retention.archive_store import ArchiveStore, recorded_archive
from facemodels.storage.retention.context import RetentionContext
from facemodels.storage.retention.version_files import VersionFiles, gather
from facemodels.storage.stores.object_store import ObjectStore

Origin = Literal["archive", "backup"]


@dataclass(frozen=True)
class Restored:
    """What a restoration did.

    Attributes:
        id: the version.
        origin: where its bytes came from.
        tag: the tag of the event; empty for a version that was not archived.
        copied: the number of objects that were missing or damaged, by the name of the store.
    """

    id: str
    origin: Origin
    tag: str
    copied: Mapping[str, int]


class Restorer:
    """Restores versions of one clone.

    Args:
        context: the clone, and the remote that gets the objects and has the archives.
        backup: the second remote; None where there is none.
    """

    def __init__(self, context: RetentionContext, backup: ObjectStore | None = None) -> None:
        self._context = context
        self._backup = backup

    def restore(self, model: ModelId, origin: Origin = "archive", *, reason: str = "") -> Restored:
        """Put back a version's objects where they are missing or damaged, and record it.

        A version that is not archived gets its objects back too, without an event. A second
        restoration of the same version does nothing.

        Args:
            model: the version.
            origin: `archive`: its archive in the remote; `backup`: the objects in the backup, or
                else the archive there.
            reason: why, for the event.

        Raises:
            InputError: the version is not registered, or was registered without DVC.
            IntegrityError: what is there is not what was registered, or there is no backup.
            ConflictError: somebody else changed the model meanwhile.
            ToolError: the remote cannot be reached.
        """
        state = self._context.refresh()
        entry = state.entry(model)
        with self._files(state, entry, origin) as files:
            copied = self._context.put_missing(files, files.objects)
            tag = ""
            if entry.id in state.archived:
                self._context.before("record")
                tag = self._record(entry, origin, reason)
                # A retention that had decided before this event may have deleted after the copy.
                self._context.before("look again")
                for name, count in self._context.put_missing(files, files.objects).items():
                    copied[name] += count
        return Restored(entry.id, origin, tag, copied)

    @contextmanager
    def _files(self, state: State, entry: Entry, origin: Origin) -> Iterator[VersionFiles]:
        """Yield the files of the version, checked."""
        source = self._source(origin)
        with tempfile.TemporaryDirectory(prefix="facemodels-") as scratch:
            files = _gather(entry, source, Path(scratch)) if origin == "backup" else None
            if files is not None:
                yield files
                return
        if origin == "backup" and entry.id not in state.archived:
            raise IntegrityError(
                f"{entry.id} is not whole in {source.name} ({source.url}), and was never archived",
                f"Bring it from elsewhere: facemodels storage pull --model-id {entry.id} && "
                f"facemodels storage backup --to {source.name} --reread",
            )
        archives = ArchiveStore(source, self._context.settings.archive)
        with archives.open(entry, recorded_archive(state, entry.id)) as (_, files):
            yield files

    def _source(self, origin: Origin) -> ObjectStore:
        if origin == "archive":
            return self._context.remote
        if self._backup is None:
            raise IntegrityError("There is no backup to restore from.")
        return self._backup

    def _record(self, entry: Entry, origin: Origin, reason: str) -> str:
        extra: dict[str, Any] = {"restored_from": origin}

        def change(state: State) -> ProposedEvent:
            if entry.id not in state.archived:
                raise ConflictError(f"Somebody else restored {entry.id}.", "Run it again.")
            words = reason or f"restored from the {origin}"
            return rules.restore(state, ModelId.parse(entry.id), reason=words, extra=extra)

        return self._context.registry.repository.add(change).tag


def _gather(entry: Entry, backup: ObjectStore, scratch: Path) -> VersionFiles | None:
    """The objects in a backup; None for a version that was archived before it was backed up."""
    try:
        return gather(entry, [backup], scratch)
    except IntegrityError:
        return None

"""A version's weights, back in the remote and in the cache, byte for byte."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from facemodels.errors import ConflictError, IntegrityError
from facemodels.names import ModelId
from facemodels.registry import rules
from facemodels.registry.registry import Registry
from facemodels.registry.state import Entry, State
from facemodels.storage.retention.apply import recorded
from facemodels.storage.retention.archive import Content, gather, put
from facemodels.storage.retention.archives import Archives
from facemodels.storage.retention.settings import Retention
from facemodels.storage.stores.object_store import Place

Origin = Literal["archive", "backup"]


@dataclass(frozen=True)
class Restored:
    """What was done.

    Attributes:
        id: of the version.
        origin: where its bytes came from.
        tag: of the event; empty for a version that was not in the archive.
        copied: how many objects were missing or damaged, by place.
    """

    id: str
    origin: Origin
    tag: str
    copied: Mapping[str, int]


class Restorer:
    """Brings versions back.

    Args:
        registry: of the clone.
        settings: of the repository: where archives are.
        cache: of the clone.
        remote: that shall have the objects, and has the archive.
        backup: the second remote; None where there is none.
        before: called with a word for every step before it is made (tests stop there).
    """

    def __init__(
        self,
        registry: Registry,
        settings: Retention,
        cache: Place,
        remote: Place,
        backup: Place | None = None,
        *,
        before: Callable[[str], None] | None = None,
    ) -> None:
        self._registry = registry
        self._settings = settings
        self._places = (remote, cache)
        self._backup = backup
        self._before = before or (lambda _: None)

    def restore(self, model: ModelId, origin: Origin = "archive", *, reason: str = "") -> Restored:
        """Put a version's objects where they are missing or damaged, and say so in the registry.

        A version that is not in the archive gets its objects back too, without an event. Done
        twice, it does nothing the second time.

        Args:
            model: the version.
            origin: its archive, or the backup: the objects there, or else the archive there.
            reason: why.

        Raises:
            InputError: it is not registered, was registered without DVC, or there is no backup.
            IntegrityError: what is there is not what was registered, byte for byte.
            ConflictError: somebody else changed the model meanwhile.
            ToolError: the remote cannot be reached.
        """
        self._registry.repository.sync()
        state = self._registry.repository.state()
        entry = state.entry(model)
        with tempfile.TemporaryDirectory(prefix="facemodels-") as scratch:
            content = self._content(state, entry, origin, Path(scratch))
            copied = self._copy(content)
            tag = ""
            if entry.id in state.archived:
                self._before("record")
                tag = self._record(entry, origin, reason)
                # A retention that had decided before this event may have deleted after the copy.
                self._before("look again")
                for name, count in self._copy(content).items():
                    copied[name] += count
        return Restored(entry.id, origin, tag, copied)

    def _content(self, state: State, entry: Entry, origin: Origin, scratch: Path) -> Content:
        facts = recorded(state, entry.id)
        source = self._places[0]
        if origin == "backup":
            if self._backup is None:
                raise IntegrityError("There is no backup to restore from.")
            source = self._backup
            whole = scratch / "objects"
            whole.mkdir()
            try:
                return gather(entry, [source], whole)
            except IntegrityError:
                pass  # it was archived before it was backed up; its archive may be there
        folder = scratch / "archive"
        folder.mkdir()
        _, content = Archives(source, self._settings.archive).fetch(entry, folder, facts)
        return content

    def _copy(self, content: Content) -> dict[str, int]:
        """Put objects where they are missing or damaged, the list last; how many, by place."""
        copied = {}
        for place in self._places:
            missing = [oid for oid in content.objects if not place.is_whole(oid)]
            for oid in missing:
                self._before(f"put {oid} into {place.name}")
                put(place, content.objects[oid], oid)
            copied[place.name] = len(missing)
        return copied

    def _record(self, entry: Entry, origin: Origin, reason: str) -> str:
        extra: dict[str, Any] = {"restored_from": origin}

        def change(state: State) -> rules.ProposedEvent:
            if entry.id not in state.archived:
                raise ConflictError(f"Somebody else restored {entry.id}.", "Run it again.")
            words = reason or f"restored from the {origin}"
            return rules.restore(state, ModelId.parse(entry.id), reason=words, extra=extra)

        return self._registry.repository.add(change).tag

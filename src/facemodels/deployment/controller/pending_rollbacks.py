"""Keeps rollbacks that are decided and that no tag records yet.

Each is a file in the state folder, `decisions/<model>.json`. Traffic follows it at once, and does
not wait for the Git remote. It counts until something else happens to the model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from facemodels.deployment.desired import Desired
from facemodels.deployment.reserve import Reserve
from facemodels.deployment.rollback import Rollback, find_rollback
from facemodels.errors import InputError, RuleError
from facemodels.files import write_json
from facemodels.registry.proposals import Proposal
from facemodels.registry.state import State


@dataclass(frozen=True)
class PendingRollback:
    """A rollback that is decided and that no tag records yet.

    Attributes:
        model: the model's name, for example `recognition-facenet`.
        to: the version that serves from now on.
        withdrawn: the version whose rollout ends; None if the version in production changes.
        taken_back: the version that no longer serves.
        reason: why.
        time: when it was decided, in seconds since 1970.
        seen: the object id of the model's last event when it was decided.
        record: further keys of the event's record, such as the verdict.
        re_enrolment: how galleries get their embeddings back, where the embedding space changes.
    """

    model: str
    to: str
    withdrawn: str | None
    taken_back: str
    reason: str
    time: int
    seen: str
    record: Mapping[str, Any] = field(default_factory=dict)
    re_enrolment: str = ""

    def holds(self, state: State) -> bool:
        """Whether nothing has happened to the model since it was decided."""
        last = state.last(self.model)
        return last is not None and last.object == self.seen

    def proposal(self) -> Proposal:
        """The event that records it."""
        found = Rollback(self.model, self.to, self.withdrawn, self.taken_back, self.re_enrolment)
        return found.proposal(self.reason, self.record)

    def overrule(self, desired: Desired) -> Desired:
        """The desired state with the rollback done."""
        if self.withdrawn is not None:
            return replace(desired, rollout=None)
        warm = tuple(dict.fromkeys((self.taken_back, *desired.warm)))
        kept = tuple(identity for identity in warm if identity != self.to)
        return replace(
            desired, stable=self.to, rollout=None, warm=kept, since=self.time, reason=self.reason
        )


def decide(
    state: State, found: Rollback, *, reason: str, time: int, record: Mapping[str, Any]
) -> PendingRollback:
    """Make a pending rollback on a state of the registry."""
    last = state.last(found.model)
    assert last is not None  # noqa: S101  (the model has a version in production)
    return PendingRollback(
        **asdict(found), reason=reason, time=time, seen=last.object, record=record
    )


class PendingRollbacks:
    """The pending rollbacks of one environment, at most one for each model.

    Args:
        folder: the folder of their files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, one: PendingRollback) -> None:
        """Write one; it replaces an older one of the same model, also on a full disk."""

        def write() -> None:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_json(self._path(one.model), asdict(one))

        Reserve(self._folder.parent).use(write)

    def remove(self, model: str, only: PendingRollback | None = None) -> None:
        """Delete the one of a model; with `only`, not a newer one that replaced it."""
        if only is None or only in self.all():
            self._path(model).unlink(missing_ok=True)

    def all(self) -> list[PendingRollback]:
        """Read all of them; a file that cannot be read is ignored."""
        found = []
        for path in sorted(self._folder.glob("*.json")):
            with suppress(OSError, ValueError, TypeError):
                found.append(PendingRollback(**json.loads(path.read_bytes())))
        return found

    def follow(self, model: str, state: State) -> None:
        """Keep a pending rollback valid after the controller itself added an event.

        A rollback that was decided while the event was being added refers to the event before it.
        It is decided again on the new state, for the same target.

        Args:
            model: the model of the event.
            state: the state with the event.
        """
        events = [event for event in state.events if event.name.model == model]
        for one in self.all():
            if one.model != model or len(events) < 2 or one.seen != events[-2].object:
                continue
            with suppress(RuleError, InputError):
                found = find_rollback(state, model, re_enrolment=one.re_enrolment)
                if found.to == one.to:
                    self.add(
                        decide(state, found, reason=one.reason, time=one.time, record=one.record)
                    )

    @contextmanager
    def claim(self, model: str) -> Iterator[bool]:
        """Claim the right to add the event of a model's pending rollback.

        The command that decided the rollback and the controller both try to add it; the claim
        keeps them from doing it at once. The kernel releases it when its process ends.

        Yields:
            Whether this process has the claim; False if another process has it.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._folder / f"{model}.lock", fallback_to_soft=False)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def _path(self, model: str) -> Path:
        return self._folder / f"{model}.json"

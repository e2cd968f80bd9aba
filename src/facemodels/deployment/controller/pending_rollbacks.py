"""A rollback that is decided and not yet in the chain: traffic does not wait for the Git remote.

Each is a file beside the controller. It counts as long as nothing happened to the model since;
who deploys anew has decided otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from facemodels.deployment.deploy import Rollback
from facemodels.deployment.desired import Desired
from facemodels.files import write_json
from facemodels.registry.rules import Proposal
from facemodels.registry.state import State


@dataclass(frozen=True)
class PendingRollback:
    """A rollback, on its way into the chain.

    Attributes:
        model: for example `recognition-facenet`.
        to: the version that serves.
        withdrawn: the version whose rollout ends; None where production changes.
        taken_back: the version that serves no more.
        reason: why.
        time: seconds since 1970.
        seen: object id of the model's last event when it was decided.
        record: what the event shall say beside, such as the verdict.
        re_enrolment: how galleries get their embeddings back, where the space changes.
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
        """Whether nothing happened to the model since."""
        last = state.last(self.model)
        return last is not None and last.object == self.seen

    def plan(self) -> Proposal:
        """The event that it is."""
        found = Rollback(self.model, self.to, self.withdrawn, self.taken_back, self.re_enrolment)
        return found.plan(self.reason, self.record)

    def overrule(self, desired: Desired) -> Desired:
        """What shall serve, with the rollback done."""
        warm = tuple(dict.fromkeys((self.taken_back, *desired.warm)))
        if self.withdrawn is not None:
            return replace(desired, rollout=None)
        kept = tuple(identity for identity in warm if identity != self.to)
        return replace(
            desired, stable=self.to, rollout=None, warm=kept, since=self.time, reason=self.reason
        )


def decide(
    state: State, found: Rollback, *, reason: str, time: int, record: Mapping[str, Any]
) -> PendingRollback:
    """A decision on the state of now."""
    last = state.last(found.model)
    assert last is not None  # noqa: S101  (the model has a version in production)
    return PendingRollback(
        **asdict(found), reason=reason, time=time, seen=last.object, record=record
    )


class PendingRollbacks:
    """The decisions of one environment.

    Args:
        folder: of their files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, decision: PendingRollback) -> None:
        """Keep one, whatever happens next; it takes the place of an older one on the model."""
        self._folder.mkdir(parents=True, exist_ok=True)
        write_json(self._path(decision.model), asdict(decision))

    def remove(self, model: str, only: PendingRollback | None = None) -> None:
        """Forget the one on a model; `only` that one, not a newer one that took its place."""
        if only is None or only in self.all():
            self._path(model).unlink(missing_ok=True)

    def all(self) -> list[PendingRollback]:
        """Those that are kept; a file that cannot be read is none."""
        found = []
        for path in sorted(self._folder.glob("*.json")):
            with suppress(OSError, ValueError, TypeError):
                found.append(PendingRollback(**json.loads(path.read_bytes())))
        return found

    def _path(self, model: str) -> Path:
        return self._folder / f"{model}.json"

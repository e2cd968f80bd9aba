"""An event before it is written: what the rules make, and the tag store writes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from facemodels.names import ModelId
from facemodels.registry import tag_names
from facemodels.registry.policy import Role, role_of
from facemodels.registry.state import Entry, State, Status


@dataclass(frozen=True)
class ProposedEvent:
    """An event that the rules allow and that is not written yet.

    Attributes:
        act: register, promote, rollback, deprecate, place, rollout, withdraw, archive or restore.
        model: the version.
        tag: the tag's name.
        commit: the id of the commit that the tag points to.
        status: the status of the version after the event.
        reason: why it was done.
        evidence: digests that speak for the version.
        extra: further keys of the record.
    """

    act: str
    model: ModelId
    tag: str
    commit: str
    status: Status
    reason: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def role(self) -> Role:
        """The role that the actor must have."""
        return role_of(self.act)

    @property
    def urgent(self) -> bool:
        """Whether it takes a version from production, or is an emergency: nothing may delay it."""
        extra = self.extra.keys() & {"emergency", "retire"}
        return self.act in ("rollback", "withdraw") or bool(extra)


Proposal = Callable[[State], ProposedEvent]


def staged(
    state: State, entry: Entry, act: str, status: Status, reason: str, extra: Mapping[str, Any]
) -> ProposedEvent:
    """The event that gives a version the stage that is called like its new status."""
    name = ModelId.parse(entry.id).name
    tag = tag_names.assign(name, status, state.last_number(entry.model))
    return event_of(entry, act, tag, status, reason, extra)


def event_of(
    entry: Entry, act: str, tag: str, status: Status, reason: str, extra: Mapping[str, Any]
) -> ProposedEvent:
    """An event of a registered version: it points where the version's own tag points."""
    model, commit, evidence = ModelId.parse(entry.id), entry.event.commit, dict(entry.evidence)
    return ProposedEvent(act, model, tag, commit, status, reason, evidence, extra)

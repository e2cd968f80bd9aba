"""What may happen to a version, and the event it makes. Pure.

development → staging → production → deprecated, and back to a version that was in
production (rollback). At most one version of a model is in production: who comes in takes
the place of who was there. What is legal is decided on the state alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from facemodels.errors import InputError, RuleError
from facemodels.names import ModelId
from facemodels.registry import tags
from facemodels.registry.state import Entry, State, Status

Role = Literal["register", "promote"]


@dataclass(frozen=True)
class Change:
    """An event to be.

    Attributes:
        act: register, promote, rollback or deprecate.
        model: the version.
        tag: the tag's name.
        commit: what it points to.
        status: of the version afterwards.
        reason: why.
        evidence: digests that speak for it.
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
        """What the actor must be allowed to do."""
        return role_of(self.act)


def role_of(act: str) -> Role:
    """The role an act asks for."""
    return "register" if act == "register" else "promote"


Plan = Callable[[State], Change]


def register(
    state: State,
    model: ModelId,
    commit: str,
    *,
    reason: str,
    evidence: Mapping[str, Any],
    entry: Mapping[str, Any],
) -> Change:
    """A new version at a commit.

    Raises:
        InputError: it is registered already.
        RuleError: the commit holds another version of the model: GTO finds a stage's version
            by its commit, so each version needs its own.
    """
    if str(model) in state.entries:
        raise InputError(
            f"{model} is registered already; a version never changes.",
            "Give the model a new version.",
        )
    other = state.id_at(str(model.name), commit)
    if other is not None:
        raise RuleError(
            f"{other} is registered at commit {commit[:10]} already.",
            "Commit the new version first: each version of a model needs its own commit.",
        )
    tag = tags.register(model)
    if any(event.tag == tag for event in state.events):
        raise RuleError(
            f"{tag} exists: {model} was registered and taken back.",
            "A number is not given twice; use the next one.",
        )
    extra = {"entry": dict(entry)}
    return Change("register", model, tag, commit, "development", reason, evidence, extra)


def move(
    state: State, model: ModelId, status: Status, *, reason: str, re_enrolment: str = ""
) -> Change:
    """Give a version its next status, or go back to one that was in production.

    Args:
        state: of now.
        model: the version.
        status: staging, production or deprecated.
        reason: why; a rollback and a deprecation need one.
        re_enrolment: how galleries get new embeddings, where the embedding space changes.

    Raises:
        InputError: the version is not registered, or has the status already.
        RuleError: no such move.
    """
    entry = state.entry(model)
    if entry.status == status:
        raise InputError(f"{model} is in {status} already.", "Nothing was changed.")
    if entry.status == "deprecated":
        raise RuleError(
            f"{model} is deprecated; that is the last status.", "Register a new version."
        )
    if status == "deprecated":
        return deprecate(state, model, reason=reason)
    act = "promote"
    if status == "production":
        act = _to_production(state, entry, reason=reason, re_enrolment=re_enrolment)
    elif (entry.status, status) != ("development", "staging"):
        raise RuleError(
            f"{model} is in {entry.status} and cannot go to {status}.",
            "The way is development, staging, production, deprecated; the one way back is a "
            "rollback to a version that was in production.",
        )
    extra = {"re_enrolment": re_enrolment} if re_enrolment else {}
    return _stage(state, entry, act, status, reason, extra)


def _to_production(state: State, entry: Entry, *, reason: str, re_enrolment: str) -> str:
    """Whether the way to production is open: `promote` or `rollback`."""
    if entry.status != "staging":
        raise RuleError(
            f"{entry.id} is in {entry.status} and was never in staging.",
            f"First: facemodels registry update-status --model-id {entry.id} --status staging",
        )
    current = state.entries.get(state.production.get(entry.model, ""))
    if current is not None:
        _same_space(current, entry, re_enrolment)
    if entry.deployed_at is None:
        return "promote"
    if not reason:
        raise InputError("A rollback needs a reason.", "Add --reason.")
    return "rollback"


def _same_space(current: Entry, new: Entry, re_enrolment: str) -> None:
    """Stored embeddings of one space cannot be compared with those of another."""
    spaces = [e.facts.get("interface", {}).get("embedding_space") for e in (current, new)]
    if spaces[0] != spaces[1] and not re_enrolment:
        raise RuleError(
            f"{new.id} has another embedding space than {current.id}, which is in production: "
            "stored galleries become useless.",
            "Say how people are enrolled anew: --re-enrolment-plan TEXT, or @FILE.",
        )


def deprecate(state: State, model: ModelId, *, reason: str, retire: bool = False) -> Change:
    """Take a version out of use for good.

    Raises:
        InputError: no reason, or deprecated already.
        RuleError: it is in production, and retiring the model was not asked for.
    """
    entry = state.entry(model)
    if entry.status == "deprecated":
        raise InputError(f"{model} is deprecated already.", "Nothing was changed.")
    if not reason:
        raise InputError("A deprecation needs a reason.", "Add --reason.")
    if entry.status == "production" and not retire:
        raise RuleError(
            f"{model} is in production; without it the model would have no version there.",
            "Promote or roll back to another version first, or add --retire to take the model "
            "out of production.",
        )
    extra = {"retire": True} if entry.status == "production" else {}
    return _stage(state, entry, "deprecate", "deprecated", reason, extra)


def _stage(
    state: State, entry: Entry, act: str, status: Status, reason: str, extra: Mapping[str, Any]
) -> Change:
    existing = (event.name for event in state.events)
    model = ModelId.parse(entry.id)
    tag = tags.assign(model.name, status, existing)
    return Change(act, model, tag, entry.event.commit, status, reason, dict(entry.evidence), extra)

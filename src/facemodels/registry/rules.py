"""The rules: which acts are allowed on a version, and the event that each act makes. Pure.

development → staging → production → deprecated, and back to a version that was in
production (rollback). At most one version of a model is in production: the next one takes its
place. One other version may get a part of its traffic: a rollout, which ends with the next
version in production or when it is withdrawn. A version whose weights are in the archive has to
be restored before anything else. The rules decide by the state alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from facemodels.errors import InputError, RuleError
from facemodels.names import ModelId
from facemodels.registry import members, tag_names
from facemodels.registry.events import to_text
from facemodels.registry.proposals import ProposedEvent, event_of, staged
from facemodels.registry.state import ARCHIVED, ROLLOUT, Entry, State, Status, production_line

# In the record of a deployment: the embedding spaces that the galleries in use had then.
GALLERY_SPACES = "gallery_spaces"
_SHA256 = re.compile(r"[0-9a-f]{64}")


def register(
    state: State,
    model: ModelId,
    commit: str,
    *,
    reason: str,
    evidence: Mapping[str, Any],
    entry: Mapping[str, Any],
) -> ProposedEvent:
    """Register a new version at a commit.

    Raises:
        InputError: it is registered already.
        RuleError: the commit holds another version of the model: GTO finds a stage's version
            by its commit, so each version needs its own. Or a member of a system is not what
            was registered under its id.
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
    tag = tag_names.register(model)
    if state.has_tag(tag):
        raise RuleError(
            f"{tag} exists: {model} was registered and taken back.",
            "A number is not given twice; use the next one.",
        )
    members.require_known_members(state, str(model), entry)
    members.require_as_pinned(state, str(model), str(evidence.get("package", "")))
    extra = {"entry": dict(entry)}
    return ProposedEvent("register", model, tag, commit, "development", reason, evidence, extra)


def move(
    state: State,
    model: ModelId,
    status: Status,
    *,
    reason: str,
    re_enrolment: str = "",
    emergency: bool = False,
    back: bool = False,
) -> ProposedEvent:
    """Give a version its next status, or go back to one that was in production.

    A version that was in production and was taken back, or is on its way there again, is
    promoted as any other.

    Args:
        state: the present state of the registry.
        model: the version.
        status: staging, production or deprecated.
        reason: why it is done; a rollback and a deprecation need a reason.
        re_enrolment: how galleries get new embeddings, if the embedding space changes.
        emergency: whether the version may skip staging; this needs a reason and stays in the
            record.
        back: whether a rollback is meant, also to a version that was taken back itself.

    Raises:
        InputError: the version is not registered, or has the status already.
        RuleError: no such move, or the version is in the archive.
    """
    entry = state.entry(model)
    if entry.status == status:
        raise _already(entry, f"in {status}", status)
    if entry.status == "deprecated":
        raise RuleError(
            f"{model} is deprecated; that is the last status.", "Register a new version."
        )
    if status == "deprecated":
        return deprecate(state, model, reason=reason)
    _require_weights(state, entry)
    act = "promote"
    if status == "production":
        re_enrolment, emergency = _let_in(state, entry, reason, re_enrolment, emergency=emergency)
        back = _is_back(state, entry, asked=back)
        act = _to_production(state, entry, reason=reason, re_enrolment=re_enrolment, back=back)
    elif (entry.status, status) != ("development", "staging"):
        raise RuleError(
            f"{model} is in {entry.status} and cannot go to {status}.",
            "The way is development, staging, production, deprecated; the one way back is a "
            "rollback to a version that was in production.",
        )
    return staged(state, entry, act, status, reason, _extra(re_enrolment, emergency))


def _extra(re_enrolment: str, emergency: bool) -> dict[str, Any]:
    extra: dict[str, Any] = {"re_enrolment": re_enrolment} if re_enrolment else {}
    return {**extra, "emergency": True} if emergency else extra


def _let_in(
    state: State, entry: Entry, reason: str, re_enrolment: str, *, emergency: bool
) -> tuple[str, bool]:
    """Check that a version may get traffic of production; give its re-enrolment and emergency.

    The values that a rollout began with hold until it ends, so that each step need not repeat
    them.

    Raises:
        InputError: an emergency without a reason.
        RuleError: it was never in staging.
    """
    running = state.rollouts.get(entry.model)
    begun = running.record if running is not None and state.id_of(running) == entry.id else None
    plan = re_enrolment or str((begun or {}).get("re_enrolment", ""))
    known = bool((begun or {}).get("emergency"))
    if emergency and not reason and not known:
        raise InputError("An emergency needs a reason.", "Add --reason.")
    if entry.status == "staging":
        return plan, emergency
    if entry.status == "development" and (emergency or known):
        return plan, True
    raise RuleError(
        f"{entry.id} is in {entry.status} and was never in staging.",
        f"First: facemodels deploy --model-id {entry.id} --environment staging",
    )


def place(state: State, model: ModelId, *, reason: str) -> ProposedEvent:
    """Put a version into the staging environment, whatever was there and wherever it is.

    Raises:
        InputError: not registered, or it is there already.
        RuleError: it is deprecated, or in the archive.
    """
    entry = state.entry(model)
    if state.id_staged(entry.model) == entry.id:
        raise _already(entry, "in staging's environment", "staging")
    if entry.status == "deprecated":
        raise RuleError(f"{model} is deprecated.", "Deploy another version.")
    _require_weights(state, entry)
    if entry.status == "development":
        return move(state, model, "staging", reason=reason)
    change = staged(state, entry, "place", "staging", reason, {})
    return replace(change, status=entry.status)  # production's stays in production too


def roll_out(
    state: State,
    model: ModelId,
    terms: Mapping[str, Any],
    *,
    reason: str,
    re_enrolment: str = "",
    emergency: bool = False,
) -> ProposedEvent:
    """Give a version a part of production's traffic, or change that part.

    Args:
        state: the present state of the registry.
        model: the version.
        terms: `strategy` and `percent`, and further values for the record.
        reason: why.
        re_enrolment: see `move`.
        emergency: see `move`.

    Raises:
        InputError: not registered, in production already, no whole percent from 0 to 100, or a
            reason is missing.
        RuleError: it is deprecated, in the archive or was never in staging, nothing is in
            production beside which it could come, or another version is on its way.
    """
    entry = state.entry(model)
    percent = terms.get("percent")
    if type(percent) is not int or not 0 <= percent <= 100:
        raise InputError(f"{percent!r} is no percentage.", "Write a whole number from 0 to 100.")
    if entry.status == "production":
        raise _already(entry, "in production", "production")
    if entry.status == "deprecated":
        raise RuleError(f"{model} is deprecated.", "Deploy another version.")
    _require_weights(state, entry)
    re_enrolment, emergency = _let_in(state, entry, reason, re_enrolment, emergency=emergency)
    current = state.entries.get(state.production.get(entry.model, ""))
    if current is None:
        raise RuleError(
            f"No version of {entry.model} is in production beside which {model} could come.",
            "Deploy it with --strategy direct.",
        )
    running = state.rollouts.get(entry.model)
    if running is not None and state.id_of(running) != entry.id:
        other = state.id_of(running)
        raise RuleError(
            f"{other} is on its way to production ({running.tag}).",
            f"Complete it first: facemodels deploy --model-id {other} --environment production "
            '--strategy complete, or take it back: --strategy abort --reason "…".',
        )
    _same_space(current, entry, re_enrolment)
    tag = tag_names.assign(model.name, ROLLOUT, state.last_number(entry.model))
    extra = {"rollout": dict(terms), **_extra(re_enrolment, emergency)}
    return event_of(entry, "rollout", tag, entry.status, reason, extra)


def withdraw(
    state: State, model: ModelId, *, reason: str, extra: Mapping[str, Any] | None = None
) -> ProposedEvent:
    """Take the part of production's traffic away from a version.

    Args:
        state: the present state of the registry.
        model: the version.
        reason: why.
        extra: further keys of the record, such as the verdict.

    Raises:
        InputError: not registered, or no reason.
        RuleError: it is not on its way to production.
    """
    entry = state.entry(model)
    running = state.rollouts.get(entry.model)
    if running is None or state.id_of(running) != entry.id:
        raise RuleError(f"{model} is not on its way to production.", "See `facemodels status`.")
    if not reason:
        raise InputError("Taking a version back needs a reason.", "Add --reason.")
    tag = tag_names.unassign(model.name, ROLLOUT, state.last_number(entry.model))
    return event_of(entry, "withdraw", tag, entry.status, reason, extra or {})


def archive(
    state: State, model: ModelId, facts: Mapping[str, Any], *, reason: str
) -> ProposedEvent:
    """Record that an archive holds the weights of a version and the remote does not.

    Args:
        state: the present state of the registry.
        model: the version.
        facts: `sha256` of the archive, `path` below the remote's URL, and further values for
            the record.
        reason: why.

    Raises:
        InputError: not registered, in the archive already, no digest or path, or no reason.
        RuleError: it serves: in production, on its way there, or in staging's environment; or
            it is a member of a system in use.
    """
    entry = state.entry(model)
    if entry.id in state.archived:
        raise _already(entry, "in the archive", ARCHIVED)
    if not _SHA256.fullmatch(str(facts.get("sha256", ""))) or not facts.get("path"):
        raise InputError(
            "an archive is known by its SHA-256 and its path.", "Give `sha256` and `path`."
        )
    if not reason:
        raise InputError("Archiving needs a reason.", "Add --reason.")
    rollout = state.rollouts.get(entry.model)
    on_its_way = rollout is not None and state.id_of(rollout) == entry.id
    staged = state.id_staged(entry.model) == entry.id
    if entry.status == "production" or on_its_way or staged:
        where = "production" if entry.status == "production" else "a rollout"
        raise RuleError(
            f"{model} serves in {where if not staged else 'staging'}.",
            "Deploy another version in its place first.",
        )
    members.require_unpinned(state, entry, archived=False)
    tag = tag_names.assign(model.name, ARCHIVED, state.last_number(entry.model))
    return event_of(entry, "archive", tag, entry.status, reason, {"archive": dict(facts)})


def restore(
    state: State, model: ModelId, *, reason: str, extra: Mapping[str, Any] | None = None
) -> ProposedEvent:
    """Record that the weights of a version are in the remote again.

    Args:
        state: the present state of the registry.
        model: the version.
        reason: why.
        extra: further keys of the record, such as where they came from.

    Raises:
        InputError: not registered, or no reason.
        RuleError: it is not in the archive.
    """
    entry = state.entry(model)
    if entry.id not in state.archived:
        raise RuleError(f"{model} is not in the archive.", "See `facemodels registry history`.")
    if not reason:
        raise InputError("A restoration needs a reason.", "Add --reason.")
    tag = tag_names.unassign(model.name, ARCHIVED, state.last_number(entry.model))
    return event_of(entry, "restore", tag, entry.status, reason, extra or {})


def _already(entry: Entry, what: str, stage: str) -> InputError:
    """What to say to who comes second: that it is done, since when, and by whom."""
    events = reversed(entry.events)
    done = next((event for event in events if event.name.stage == stage), entry.events[-1])
    return InputError(
        f"{entry.id} is {what} already: {done.tagger} did that on {to_text(done.time)}.",
        "Nothing was changed.",
    )


def _require_weights(state: State, entry: Entry) -> None:
    if entry.id in state.archived:
        raise RuleError(
            f"{entry.id} is in the archive ({state.archived[entry.id].tag}).",
            f"First: facemodels storage restore {entry.id}",
        )


def _is_back(state: State, entry: Entry, *, asked: bool) -> bool:
    """Whether a way to production leads back."""
    if entry.deployed_at is None or asked:
        return asked and entry.deployed_at is not None
    running = state.rollouts.get(entry.model)
    if running is not None and state.id_of(running) == entry.id:
        return False  # it ends a rollout
    return entry.id in production_line(state, entry.model)


def _to_production(
    state: State, entry: Entry, *, reason: str, re_enrolment: str, back: bool
) -> str:
    """Check that a version may go to production; say whether that is a promotion or a rollback."""
    current = state.entries.get(state.production.get(entry.model, ""))
    if current is not None and not (back and _galleries_keep(current, entry)):
        _same_space(current, entry, re_enrolment)
    if not back:
        return "promote"
    if not reason:
        raise InputError("A rollback needs a reason.", "Add --reason.")
    return "rollback"


def _galleries_keep(current: Entry, before: Entry) -> bool:
    """Whether the galleries had faces for the version before, too, when the next one came."""
    recorded = ((event.record or {}).get(GALLERY_SPACES) for event in reversed(current.events))
    spaces = next((found for found in recorded if isinstance(found, list)), [])
    return before.facts.get("interface", {}).get("embedding_space") in spaces


def _same_space(current: Entry, new: Entry, re_enrolment: str) -> None:
    """Refuse a change of the embedding space without a plan: stored embeddings become useless."""
    spaces = [e.facts.get("interface", {}).get("embedding_space") for e in (current, new)]
    if spaces[0] != spaces[1] and not re_enrolment:
        raise RuleError(
            f"{new.id} has another embedding space than {current.id}, which is in production: "
            "stored galleries become useless.",
            f"Say how people are enrolled anew: facemodels deploy --model-id {new.id} "
            "--environment production --re-enrolment-plan TEXT, or @FILE.",
        )


def deprecate(state: State, model: ModelId, *, reason: str, retire: bool = False) -> ProposedEvent:
    """Take a version out of use for good.

    Raises:
        InputError: no reason, or deprecated already.
        RuleError: it is in production, and retiring the model was not asked for; or it is a
            member of a system in use.
    """
    entry = state.entry(model)
    if entry.status == "deprecated":
        raise _already(entry, "deprecated", "deprecated")
    if not reason:
        raise InputError("A deprecation needs a reason.", "Add --reason.")
    if entry.status == "production" and not retire:
        raise RuleError(
            f"{model} is in production; without it the model would have no version there.",
            "Promote or roll back to another version first, or add --retire to take the model "
            "out of production.",
        )
    members.require_unpinned(state, entry)
    extra = {"retire": True} if entry.status == "production" else {}
    return staged(state, entry, "deprecate", "deprecated", reason, extra)

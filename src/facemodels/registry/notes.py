"""Acts that say something of a version or an event and move no version: pure.

vouch       an event was made as it stands, whatever its own words say of who made it
annotate    a version has other labels, or another description
alias       a word of the team, such as `champion`, names a version of a model, and no other one
unalias     it does so no more
deregister  a version was registered by mistake
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from facemodels.errors import InputError, RuleError
from facemodels.names import ModelId
from facemodels.registry import members, tag_names
from facemodels.registry.events import Event
from facemodels.registry.proposals import ProposedEvent, event_of
from facemodels.registry.state import ANNOTATED, OWN_STAGES, VOUCHED, State

_ALIAS = re.compile(r"(?!v[0-9])[a-z](?:[a-z0-9_-]{0,61}[a-z0-9])?")
_TAKEN = ("created", "latest")  # a word of GTO's tags, and one that a list uses


def vouch(state: State, vouched: Event, *, reason: str) -> ProposedEvent:
    """Vouch for an event whose tag names another maker than its record.

    Args:
        state: the present state of the registry.
        vouched: the event; the chain has to name its object, so that it is what was made.
        reason: why it is believed.

    Raises:
        InputError: no reason, or the event is of no registered version.
        RuleError: its tag and its record name the same maker, or somebody vouched for it.
    """
    entry = state.entries.get(state.id_of(vouched) or "")
    if entry is None:
        raise InputError(f"{vouched.tag} is of no registered version.", "See `registry audit`.")
    if not reason:
        raise InputError("To vouch for an event needs a reason.", "Add --reason.")
    if vouched.record is None or vouched.record["actor"] == vouched.tagger:
        raise RuleError(f"{vouched.tag} needs nobody who vouches for it.", "See `registry audit`.")
    if vouched.object in vouched_for(state.events):
        raise RuleError(f"somebody vouched for {vouched.tag} already.", "Nothing was changed.")
    tag = tag_names.assign(ModelId.parse(entry.id).name, VOUCHED, state.last_number(entry.model))
    extra = {"vouches": {"tag": vouched.tag, "object": vouched.object}}
    return event_of(entry, "vouch", tag, entry.status, reason, extra)


def vouched_for(events: Sequence[Event]) -> set[str]:
    """The ids of the objects that events vouch for."""
    told = ((event.record or {}).get("vouches") for event in events)
    return {str(one["object"]) for one in told if isinstance(one, dict) and "object" in one}


def annotate(
    state: State,
    model: ModelId,
    *,
    labels: Sequence[str] | None,
    description: str | None,
    reason: str = "",
) -> ProposedEvent:
    """Give a version other labels or another description; its package stays what it is.

    Args:
        state: the present state of the registry.
        model: the version.
        labels: all its labels from now on; None leaves them.
        description: its description from now on; None leaves it.
        reason: why.

    Raises:
        InputError: not registered, or nothing would change.
    """
    entry = state.entry(model)
    changed: dict[str, Any] = {}
    if labels is not None and sorted(set(labels)) != list(entry.labels):
        changed["tags"] = sorted(set(labels))
    if description is not None and description != entry.description:
        changed["description"] = description
    if not changed:
        raise InputError(
            f"{model} has these labels and this description.", "Give --tag or --description."
        )
    tag = tag_names.assign(model.name, ANNOTATED, state.last_number(entry.model))
    return event_of(entry, "annotate", tag, entry.status, reason, {"annotation": changed})


def alias(state: State, model: ModelId, word: str, *, reason: str) -> ProposedEvent:
    """Let a word name a version of a model; the version that it named before loses it.

    GTO sees a stage of that name; one that GTO gave is an alias likewise.

    Args:
        state: the present state of the registry.
        model: the version.
        word: small letters, digits, `_` and `-`, such as `champion`.
        reason: why.

    Raises:
        InputError: not registered, no such word, or it names this version already.
        RuleError: the version is deprecated.
    """
    entry = state.entry(model)
    if not _ALIAS.fullmatch(word) or word in OWN_STAGES or word in _TAKEN:
        raise InputError(
            f"{word!r} cannot be an alias.",
            "Write small letters, digits, `_` or `-`, such as champion; no status and no version.",
        )
    if state.aliases.get((entry.model, word)) == entry.id:
        raise InputError(f"{word} names {model} already.", "Nothing was changed.")
    if entry.status == "deprecated":
        raise RuleError(f"{model} is deprecated.", "Give the alias to another version.")
    tag = tag_names.assign(model.name, word, state.last_number(entry.model))
    return event_of(entry, "alias", tag, entry.status, reason, {})


def unalias(state: State, model: ModelId, word: str, *, reason: str) -> ProposedEvent:
    """Let a word name a version no more.

    Raises:
        InputError: not registered, or the word does not name this version.
    """
    entry = state.entry(model)
    if state.aliases.get((entry.model, word)) != entry.id:
        raise InputError(f"{word} does not name {model}.", "See `facemodels registry models`.")
    tag = tag_names.unassign(model.name, word, state.last_number(entry.model))
    return event_of(entry, "unalias", tag, entry.status, reason, {})


def deregister(state: State, model: ModelId, *, reason: str) -> ProposedEvent:
    """Take a registration back that was a mistake; its number is not given again.

    Raises:
        InputError: not registered, or no reason.
        RuleError: it has left development, or a system in use pins it.
    """
    entry = state.entry(model)
    if not reason:
        raise InputError("A withdrawal needs a reason.", "Add --reason.")
    moved = [event for event in entry.events if event.name.stage in ("staging", "production")]
    if entry.status != "development" or moved:
        raise RuleError(
            f"{model} was in {moved[-1].name.stage if moved else entry.status}; what others may "
            "have seen is not taken back.",
            f'Deprecate it: facemodels registry deprecate --model-id {model} --reason "…"',
        )
    members.require_unpinned(state, entry)
    return event_of(entry, "deregister", f"{entry.event.tag}!", entry.status, reason, {})


# --- the same acts once more, for the audit -----------------------------------------------------


def vouch_again(event: Event, state: State, model: ModelId, *, reason: str) -> ProposedEvent:
    """What the rules make of a `vouch` of the chain; see `vouch`."""
    wanted = vouched_for([event])
    vouched = next((one for one in state.events if one.object in wanted), event)
    return vouch(state, vouched, reason=reason)


def annotate_again(event: Event, state: State, model: ModelId, *, reason: str) -> ProposedEvent:
    """What the rules make of an `annotate` of the chain; see `annotate`."""
    told = (event.record or {}).get("annotation")
    told = told if isinstance(told, dict) else {}
    labels, description = told.get("tags"), told.get("description")
    return annotate(state, model, labels=labels, description=description, reason=reason)

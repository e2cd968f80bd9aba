"""Rollbacks: which version production goes back to, and the event that records it.

The functions are pure: they read the registry's state and make proposals. `facemodels rollback`
and the controller (`controller.reaction`) both use `find_rollback`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from facemodels.errors import InputError, RuleError
from facemodels.names import ModelId, Version
from facemodels.registry import rules
from facemodels.registry.proposals import Proposal, ProposedEvent
from facemodels.registry.registry import previous_production
from facemodels.registry.state import Entry, State


def withdrawal(model: ModelId, *, reason: str, record: Mapping[str, Any] | None = None) -> Proposal:
    """Propose the event that ends a rollout and keeps the stable version."""
    return lambda state: rules.withdraw(
        state, model, reason=reason or "aborted by hand", extra=record
    )


def return_to(
    model: ModelId, *, reason: str, re_enrolment: str = "", record: Mapping[str, Any] | None = None
) -> Proposal:
    """Propose the event that brings a version back to production."""

    def proposal(state: State) -> ProposedEvent:
        event = rules.move(
            state, model, "production", reason=reason, re_enrolment=re_enrolment, back=True
        )
        return replace(event, extra={**(record or {}), **event.extra})

    return proposal


@dataclass(frozen=True)
class Rollback:
    """What a rollback changes.

    Attributes:
        model: the model's name, for example `recognition-facenet`.
        to: the version that serves afterwards.
        withdrawn: the version whose rollout ends; None if the version in production changes.
        taken_back: the version that no longer serves afterwards.
        re_enrolment: how galleries get their embeddings back, where the embedding space changes.
    """

    model: str
    to: str
    withdrawn: str | None
    taken_back: str
    re_enrolment: str = ""

    def proposal(self, reason: str, record: Mapping[str, Any] | None = None) -> Proposal:
        """The event that records the rollback.

        Args:
            reason: why the rollback is done.
            record: further keys of the event's record, such as the verdict.
        """
        if self.withdrawn is not None:
            return withdrawal(ModelId.parse(self.withdrawn), reason=reason, record=record)
        to = ModelId.parse(self.to)
        return return_to(to, reason=reason, re_enrolment=self.re_enrolment, record=record)


def find_rollback(
    state: State, model_type: str, to_version: str | None = None, *, re_enrolment: str = ""
) -> Rollback:
    """Decide what a rollback changes in this state.

    A rollout that goes on is ended first. Without one, production goes back to `to_version`, or
    to the version that was in production before.

    Args:
        state: the state that the registry's tags add up to.
        model_type: a task, a model or a prefix: `recognition`, `recognition-facenet`, `det`, …
        to_version: a version number such as `2.1.3`; None chooses the previous version.
        re_enrolment: how galleries get their embeddings back, where the embedding space changes.

    Raises:
        InputError: there is no such model or version, or there are several models of the type.
        RuleError: there is no version to go back to, or the rules refuse the way back.
    """
    model = _find_model(state, model_type)
    current = state.production[model]
    running = state.rollouts.get(model)
    candidate = state.id_of(running) if running is not None else None
    target = _find_version(state, model, current, to_version) if to_version else None
    if candidate is not None and target in (None, current):
        return Rollback(model, to=current, withdrawn=candidate, taken_back=candidate)
    if target == current:
        raise InputError(f"{current} is in production already.", "Nothing was changed.")
    to = target or previous_production(state, model).id
    _require_was_there(state.entry(to))
    found = Rollback(model, to, None, current, re_enrolment)
    found.proposal("a try")(state)  # the rules refuse here, before traffic changes
    return found


def _require_was_there(entry: Entry) -> None:
    if entry.deployed_at is None:
        raise RuleError(
            f"{entry.id} was never in production, so there is no way back to it.",
            f"Deploy it: facemodels deploy --model-id {entry.id} --environment production",
        )


def _find_model(state: State, model_type: str) -> str:
    found = [model for model in sorted(state.production) if _is_of_type(model, model_type)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise InputError(
            f"No {model_type} model is in production.",
            f"There are: {', '.join(sorted(state.production)) or 'none'}.",
        )
    raise InputError(
        f"{model_type} may be any of {', '.join(found)}.", "Give --model-type the whole name."
    )


def _is_of_type(model: str, model_type: str) -> bool:
    if model == model_type:
        return True
    short = ModelId.parse(f"{model}@v0.0.0")
    names = (short.name.task, short.name.prefix, str(short).split("-", 1)[0])
    return model_type in (*names, short.name.architecture)


def _find_version(state: State, model: str, current: str, text: str) -> str:
    """The id of a version number; among several variants, the one that is in production.

    Raises:
        InputError: there is no such version.
    """
    version = Version.parse(text)
    variant = ModelId.parse(current).variant
    found = [entry.id for entry in state.of_model(model) if entry.version == version]
    same = [identity for identity in found if ModelId.parse(identity).variant == variant]
    if not found:
        raise InputError(
            f"{model} {version} is not registered.",
            f"See `facemodels registry list --name {model}`.",
        )
    return (same or found)[0]

"""What happened to the traffic of a model, in words. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterable

from facemodels.names import ModelId
from facemodels.registry.events import Event
from facemodels.registry.state import State
from facemodels.text import one_line

DECIDED_BY = "decided_by"  # key of a record: who decided what somebody else recorded
AUTOMATIC = "automatic"  # key of a record: the host of the controller that decided by itself
_CHANGES = ("promote", "rollback", "rollout", "withdraw", "deprecate")
_STEPS_BACK = ("rollback", "withdraw")
_REASON = 120  # characters


def changes(state: State, models: Iterable[str] | None = None) -> list[Event]:
    """The events that changed the traffic of production, oldest first.

    Args:
        state: the state that the registry's tags add up to.
        models: the models that count; None takes all.
    """
    wanted = None if models is None else set(models)
    return [
        event
        for event in state.events
        if event.act in _CHANGES and (wanted is None or event.name.model in wanted)
    ]


def last_change(state: State, model: str) -> Event | None:
    """The last event that changed the traffic of a model; None if there is none."""
    return next(
        (e for e in reversed(state.events) if e.name.model == model and e.act in _CHANGES), None
    )


def is_step_back(event: Event | None) -> bool:
    """Whether an event took a version back."""
    return event is not None and event.act in _STEPS_BACK


def decided_by(event: Event) -> str:
    """Who decided an event: a person, or the controller and its host."""
    record = event.record or {}
    if record.get(AUTOMATIC):
        return f"the controller on {record[AUTOMATIC]}"
    return str(record.get(DECIDED_BY) or event.tagger)


def in_words(state: State, event: Event) -> str:
    """One event as a sentence: when, which version, what, by whom and why.

    For example `2026-11-28 03:08 canary rec-facenet-v1.0.3 withdrawn by the controller on web1:
    accuracy 0.588 < 0.98`. Times are UTC.
    """
    when = time.strftime("%Y-%m-%d %H:%M", time.gmtime(event.time))
    identity = state.id_of(event) or event.name.model
    reason = one_line(event.reason)
    why = f": {reason[:_REASON]}{'…' if len(reason) > _REASON else ''}" if reason else ""
    urgent = " in an emergency" if (event.record or {}).get("emergency") else ""
    by = one_line(decided_by(event))  # other people may have written it
    return f"{when} {_what(state, event, identity)}{urgent} by {by}{why}"


def _what(state: State, event: Event, identity: str) -> str:
    terms = (event.record or {}).get("rollout") or {}
    if event.act == "rollout":
        return f"{terms.get('strategy', 'rollout')} {identity} at {terms.get('percent', 0)} %"
    if event.act == "withdraw":
        return f"{_strategy_before(state, event)} {identity} withdrawn"
    words = {"promote": "put into production", "rollback": "back in production"}
    return f"{identity} {words.get(event.act, 'deprecated')}"


def _strategy_before(state: State, event: Event) -> str:
    """The strategy of the rollout that an event ended."""
    identity = state.id_of(event)
    for earlier in reversed(state.events[: state.events.index(event)]):
        if earlier.act == "rollout" and state.id_of(earlier) == identity:
            terms = (earlier.record or {}).get("rollout") or {}
            return str(terms.get("strategy", "rollout"))
    return "rollout"


def number_of(identity: str) -> str:
    """The version number of an id, as `--to-version` takes it."""
    return str(ModelId.parse(identity).version)

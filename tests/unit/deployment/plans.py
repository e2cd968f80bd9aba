"""What the tests of rollouts let happen: the registry's rules as plans, and states by them."""

from __future__ import annotations

from typing import Any

from tests.unit.registry.conftest import V1, V2, V3, Ledger, commit_of, move, register

from facemodels.names import ModelId
from facemodels.registry import rules
from facemodels.registry.proposals import Proposal
from facemodels.registry.state import State

MODEL = "recognition-facenet"


def place(model: str, *, reason: str = "to try it") -> Proposal:
    return lambda now: rules.place(now, ModelId.parse(model), reason=reason)


def roll_out(
    model: str, percent: Any = 10, strategy: str = "canary", *, reason: str = "a try", **more: Any
) -> Proposal:
    terms = {"environment": "production", "strategy": strategy, "percent": percent}
    return lambda now: rules.roll_out(now, ModelId.parse(model), terms, reason=reason, **more)


def withdraw(model: str, *, reason: str = "it is slow", **record: Any) -> Proposal:
    return lambda now: rules.withdraw(now, ModelId.parse(model), reason=reason, extra=record)


def promote(model: str, *, reason: str = "as planned", **more: Any) -> Proposal:
    return lambda now: rules.move(now, ModelId.parse(model), "production", reason=reason, **more)


def staged(*models: str, **entry: Any) -> Ledger:
    """These are registered and were put into staging, one after the other."""
    ledger = Ledger()
    for model in models:
        ledger.add(register(model, commit_of(model), **entry))
        ledger.add(move(model, "staging"))
    return ledger


def beside() -> Ledger:
    """V1 is in production; V2 and V3 are in staging."""
    ledger = staged(V1, V2, V3)
    ledger.add(move(V1, "production"))
    return ledger


def rolled_out(percent: int = 10, strategy: str = "canary") -> Ledger:
    """The same, and V2 is on its way to production."""
    ledger = beside()
    ledger.add(roll_out(V2, percent, strategy))
    return ledger


def candidate(state: State, model: str = MODEL) -> str | None:
    """The version on its way to production."""
    event = state.rollouts.get(model)
    return state.id_of(event) if event else None

"""What just happened is told before a second step back, and events say who decided them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.deployment.plans import MODEL, candidate, promote, roll_out, staged, withdraw
from tests.unit.registry.conftest import V1, V2, V3, Ledger, move

from facemodels.cli.environment_access import EnvironmentAccess
from facemodels.cli.rollback import _settled
from facemodels.deployment.controller.manual_rollback import RollbackRequest
from facemodels.deployment.history import AUTOMATIC, changes, in_words, last_change
from facemodels.errors import ConflictError, RuleError
from facemodels.registry.registry import previous_production
from facemodels.registry.state import State

PLAIN = RollbackRequest("recognition", None, "it fails")


def withdrawn() -> Ledger:
    """V1 and then V2 came to production; the controller took the canary V3 back."""
    ledger = staged(V1, V2, V3)
    ledger.add(promote(V1))
    ledger.add(promote(V2))
    ledger.add(roll_out(V3))
    ledger.add(withdraw(V3, reason="accuracy 0.588 < 0.98", **{AUTOMATIC: "web1"}))
    return ledger


def access(state: State, folder: Path) -> EnvironmentAccess:
    registry: Any = SimpleNamespace(repository=SimpleNamespace(state=lambda: state))
    return EnvironmentAccess(registry, None, folder)  # type: ignore[arg-type]


def test_a_second_step_back_is_told_and_yes_goes_only_past_what_was_told(tmp_path: Path) -> None:
    ledger = withdrawn()
    opened = access(ledger.state, tmp_path)
    with pytest.raises(RuleError, match="withdrawn by the controller on web1: accuracy"):
        _settled(opened, PLAIN, yes=True)  # nobody was told yet
    last = last_change(ledger.state, MODEL)
    assert last is not None
    assert _settled(opened, PLAIN, yes=True).expect == last.tag
    with pytest.raises(RuleError, match="taken back already"):
        _settled(opened, PLAIN, yes=False)
    ledger.add(roll_out(V3))
    ledger.add(withdraw(V3, reason="again"))
    with pytest.raises(RuleError, match="again"):  # that is news
        _settled(access(ledger.state, tmp_path), PLAIN, yes=True)


def test_a_first_step_and_a_stated_version_need_no_yes(tmp_path: Path) -> None:
    ledger = withdrawn()
    stated = RollbackRequest("recognition", "1.0.0", "it fails")
    assert _settled(access(ledger.state, tmp_path), stated, yes=False).to_version == "1.0.0"
    ledger.add(roll_out(V3))
    assert _settled(access(ledger.state, tmp_path), PLAIN, yes=False).expect == ""


def test_who_acts_on_a_state_that_changed_is_told_so() -> None:
    ledger = withdrawn()
    seen = changes(ledger.state, [MODEL])[-2].tag
    asked = RollbackRequest("recognition", None, "it fails", expect=seen)
    with pytest.raises(ConflictError, match="withdrawn by the controller on web1") as told:
        asked.find(ledger.state)
    assert "Nothing was changed" in told.value.remedy
    last = changes(ledger.state, [MODEL])[-1].tag
    assert RollbackRequest("recognition", None, "x", expect=last).find(ledger.state).to == V1


def test_events_are_sentences() -> None:
    ledger = withdrawn()
    told = [in_words(ledger.state, event) for event in changes(ledger.state)]
    assert f"canary {V3} at 10 % by " in told[-2]
    assert told[-1].endswith(
        f"canary {V3} withdrawn by the controller on web1: accuracy 0.588 < 0.98"
    )
    ledger.add(roll_out(V3, reason="red\x1b[31m\n\u202egood"))  # it moves no cursor of a terminal
    last = in_words(ledger.state, changes(ledger.state)[-1])
    assert last.isprintable()
    assert "red" in last


def test_a_version_that_was_taken_back_is_promoted_and_completed_as_any_other() -> None:
    ledger = staged(V1, V2, V3)
    for model in (V1, V2):
        ledger.add(promote(model))
    ledger.add(promote(V1, reason="it fails"))
    assert ledger.events[-1].act == "rollback"
    ledger.add(promote(V2))
    assert ledger.events[-1].act == "promote"
    ledger.add(roll_out(V1))  # an old version anew
    assert candidate(ledger.state) == V1
    ledger.add(move(V1, "production"))
    assert ledger.events[-1].act == "promote"
    assert previous_production(ledger.state, MODEL).id == V2

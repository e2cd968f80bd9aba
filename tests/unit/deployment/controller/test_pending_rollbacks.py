"""Rollbacks that wait for the Git remote: kept through a restart, gone once something happened."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.deployment.plans import (
    MODEL,
    beside,
    place,
    promote,
    roll_out,
    rolled_out,
    withdraw,
)
from tests.unit.registry.conftest import (
    DETECTOR,
    NOW,
    V1,
    V2,
    V3,
    Ledger,
    commit_of,
    deprecate,
    move,
    register,
)

from facemodels.deployment.controller.pending_rollbacks import (
    PendingRollback,
    PendingRollbacks,
    decide,
)
from facemodels.deployment.desired import Desired, desired
from facemodels.deployment.rollback import Rollback, find_rollback
from facemodels.files import write_json
from facemodels.names import ModelId
from facemodels.registry import audit

VERDICT = {"verdict": {"errors": [0.4, 0.01], "reasons": ["40 % fail"]}}


def production() -> Ledger:
    """V2 is in production, V1 was; V3 is in staging."""
    ledger = beside()
    ledger.add(promote(V2))
    return ledger


def decided(ledger: Ledger, to_version: str | None = None) -> PendingRollback:
    found = find_rollback(ledger.state, MODEL, to_version)
    return decide(ledger.state, found, reason="it fails", time=NOW + 999, record=VERDICT)


def wanted(ledger: Ledger) -> Desired:
    return desired(ledger.state, "production")[MODEL]


# --- kept ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ledger", [rolled_out(), production()], ids=["rollout", "production"])
def test_a_decision_survives_a_restart_to_the_last_word(tmp_path: Path, ledger: Ledger) -> None:
    decision = decided(ledger)
    PendingRollbacks(tmp_path / "decisions").add(decision)
    [found] = PendingRollbacks(tmp_path / "decisions").all()
    assert found == decision
    assert found.holds(ledger.state)
    assert (found.reason, found.record) == ("it fails", VERDICT)
    assert found.proposal()(ledger.state) == decision.proposal()(ledger.state)


def test_a_later_decision_takes_the_place_of_an_earlier_one_on_the_same_model(
    tmp_path: Path,
) -> None:
    ledger = production()
    ledger.add(promote(V3))
    decisions = PendingRollbacks(tmp_path)
    decisions.add(decided(ledger))
    decisions.add(decided(ledger, "1.0.0"))
    assert [one.to for one in decisions.all()] == [V1]


def test_each_model_has_a_decision_of_its_own(tmp_path: Path) -> None:
    ledger = rolled_out()
    newer = "det-yolov8-v1.1.0"
    for model in (DETECTOR, newer):
        ledger.add(register(model, commit_of(model)))
        ledger.add(move(model, "staging"))
        ledger.add(promote(model))
    decisions = PendingRollbacks(tmp_path)
    for model in (MODEL, "detection-yolov8"):
        found = find_rollback(ledger.state, model, None)
        decisions.add(decide(ledger.state, found, reason="bad", time=NOW, record={}))
    assert [(one.model, one.to) for one in decisions.all()] == [
        ("detection-yolov8", DETECTOR), (MODEL, V1),
    ]  # fmt: skip
    assert all(one.holds(ledger.state) for one in decisions.all())
    decisions.remove(MODEL)
    decisions.remove(MODEL)
    assert [one.model for one in decisions.all()] == ["detection-yolov8"]


def test_one_that_is_done_is_forgotten_and_not_a_newer_one_in_its_place(tmp_path: Path) -> None:
    ledger = production()
    ledger.add(promote(V3))
    older, newer = decided(ledger), decided(ledger, "1.0.0")
    decisions = PendingRollbacks(tmp_path)
    decisions.add(newer)
    decisions.remove(MODEL, only=older)
    assert decisions.all() == [newer]
    decisions.remove(MODEL, only=newer)
    assert decisions.all() == []


def test_where_nothing_was_decided_there_is_nothing(tmp_path: Path) -> None:
    decisions = PendingRollbacks(tmp_path / "never-made")
    assert decisions.all() == []
    decisions.remove(MODEL)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"null", b"[]", b"3", b'"text"', b"{}", b"\0" * 200, b"\xff\xfe{}",
        b'{"model": "recognition-facenet"}',
    ],
)  # fmt: skip
def test_a_file_that_is_none_of_ours_is_passed_over(tmp_path: Path, content: bytes) -> None:
    decisions = PendingRollbacks(tmp_path)
    decisions.add(decided(rolled_out()))
    (tmp_path / "detection-yolov8.json").write_bytes(content)
    (tmp_path / "folder.json").mkdir()
    assert [one.model for one in decisions.all()] == [MODEL]


def test_a_torn_file_is_passed_over_wherever_it_was_torn(tmp_path: Path) -> None:
    decisions = PendingRollbacks(tmp_path)
    decisions.add(decided(rolled_out()))
    path = tmp_path / f"{MODEL}.json"
    whole = path.read_bytes()
    end = len(whole.rstrip())  # without the line's end it is whole
    for size in range(end):
        path.write_bytes(whole[:size])
        assert decisions.all() == [], size
    path.write_bytes(whole)
    assert len(decisions.all()) == 1


def test_a_file_with_a_key_of_another_release_is_passed_over(tmp_path: Path) -> None:
    decisions = PendingRollbacks(tmp_path)
    decisions.add(decided(rolled_out()))
    path = tmp_path / f"{MODEL}.json"
    write_json(path, {**json.loads(path.read_bytes()), "more": 1})
    assert decisions.all() == []


# --- whether it holds --------------------------------------------------------------------------


def test_a_decision_holds_until_something_happens_to_its_model() -> None:
    for act in (
        place(V1), roll_out(V2, 20), withdraw(V2), promote(V2), promote(V3), deprecate(V3),
        register("rec-facenet-v3.0.0", commit_of("v3")),
    ):  # fmt: skip
        ledger = rolled_out()
        decision = decided(ledger)
        assert decision.holds(ledger.state)
        ledger.add(act)
        assert not decision.holds(ledger.state)


def test_what_happens_to_another_model_does_not_end_it() -> None:
    ledger = rolled_out()
    decision = decided(ledger)
    ledger.add(register(DETECTOR, commit_of(DETECTOR)))
    ledger.add(move(DETECTOR, "staging"))
    assert decision.holds(ledger.state)


def test_a_decision_on_a_registry_that_is_empty_now_does_not_hold() -> None:
    assert not decided(rolled_out()).holds(Ledger().state)


# --- what it does ------------------------------------------------------------------------------


def test_taking_a_rollout_back_gives_everything_to_production() -> None:
    ledger = production()
    ledger.add(roll_out(V3, 40))
    before = wanted(ledger)
    early = decided(ledger).overrule(before)
    assert before.shares == {V2: 60, V3: 40}
    assert (early.stable, early.rollout, early.shares) == (V2, None, {V2: 100})
    assert (early.warm, early.event) == (before.warm, before.event)


def test_going_back_gives_everything_to_the_version_before_and_keeps_the_other_warm() -> None:
    ledger = production()
    decision = decided(ledger)
    early = decision.overrule(wanted(ledger))
    assert (early.stable, early.rollout, early.warm) == (V1, None, (V2,))
    assert (early.since, early.reason) == (NOW + 999, "it fails")
    assert early.shares == {V1: 100}


def test_going_back_past_a_rollout_ends_it() -> None:
    ledger = production()
    ledger.add(promote(V3))
    ledger.add(roll_out(V2, 30))
    early = decided(ledger, "1.0.0").overrule(wanted(ledger))
    assert (early.stable, early.rollout, early.shares) == (V1, None, {V1: 100})
    assert V3 in early.warm


@pytest.mark.parametrize(
    ("ledger", "act", "tag"),
    [
        (rolled_out(), "withdraw", f"{MODEL}#rollout!#6"),
        (production(), "rollback", f"{MODEL}#production#6"),
    ],
    ids=["rollout", "production"],
)
def test_its_event_says_what_it_says_and_closes_it(ledger: Ledger, act: str, tag: str) -> None:
    decision = decided(ledger)
    early = decision.overrule(wanted(ledger))
    event = ledger.add(decision.proposal())
    assert event.record is not None
    assert (event.act, event.tag, event.reason) == (act, tag, "it fails")
    assert event.record["verdict"] == VERDICT["verdict"]
    then = wanted(ledger)
    assert (then.stable, then.rollout, then.shares) == (early.stable, None, early.shares)
    assert not decision.holds(ledger.state)
    assert audit.audit(ledger.events, ledger.head) == []


def test_it_names_the_version_that_is_taken_back() -> None:
    found = Rollback(MODEL, to=V1, withdrawn=V2, taken_back=V2)
    decision = decide(rolled_out().state, found, reason="x", time=NOW, record={})
    assert (decision.taken_back, str(ModelId.parse(decision.to))) == (V2, V1)
    assert decision.proposal()(rolled_out().state).act == "withdraw"

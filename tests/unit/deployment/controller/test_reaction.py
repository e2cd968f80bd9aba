"""What follows from the numbers: a rollback, the next step, or a call for somebody."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.deployment.plans import MODEL, beside, promote, rolled_out
from tests.unit.registry.conftest import V1, V2, V3, Ledger, move

from facemodels.deployment.controller.reaction import Reaction, answer_alert, react
from facemodels.deployment.desired import Desired, desired
from facemodels.deployment.settings import Environment
from facemodels.monitoring.alerts.alertmanager import Alert
from facemodels.monitoring.analysis import FiredTrigger, Verdict
from facemodels.monitoring.analysis.watch import ModelAssessment

SETTINGS = Environment.model_validate({"address": {"port": 1}, "control": {"port": 2}})
TRIPPED = (FiredTrigger("error_rate_threshold", 0.5, 0.05, "half of it fails"),)
WORSE = Verdict("roll back", ("worse in errors",))


def wanted(ledger: Ledger) -> Desired:
    return desired(ledger.state, "production")[MODEL]


def asked(
    ledger: Ledger, verdict: Verdict | None = None, fired: tuple[FiredTrigger, ...] = (),
    environment: str = "production", event: str | None = None,
) -> Reaction:  # fmt: skip
    now = wanted(ledger)
    own = now.rollout.event if now.rollout else ""
    judgement = ModelAssessment(MODEL, own if event is None else event, verdict, fired)
    return react(ledger.state, now, judgement, SETTINGS, environment, now=99)


def test_a_worse_version_on_its_way_is_taken_back_with_the_grounds_in_the_record() -> None:
    decision = asked(rolled_out(), WORSE).rollback
    assert decision is not None
    assert (decision.withdrawn, decision.to, decision.reason) == (V2, V1, "worse in errors")
    assert decision.record["verdict"]["answer"] == "roll back"


def test_a_verdict_on_a_step_that_is_over_means_nothing() -> None:
    assert asked(rolled_out(), WORSE, event="recognition-facenet#rollout#1") == Reaction()


@pytest.mark.parametrize("strategy", ["canary", "ab", "shadow", "blue-green"])
def test_only_a_progressive_rollout_goes_on_by_itself(strategy: str) -> None:
    assert asked(rolled_out(10, strategy), Verdict("promote", ())) == Reaction()


@pytest.mark.parametrize(("percent", "following"), [(10, 25), (25, 50), (50, None), (30, 50)])
def test_each_promotion_takes_a_progressive_rollout_one_step_on(
    percent: int, following: int | None
) -> None:
    ledger = rolled_out(percent, "progressive")
    step = asked(ledger, Verdict("promote", ("not worse",))).proposal
    assert step is not None
    change = step(ledger.state)
    if following is None:
        assert (change.act, change.status) == ("promote", "production")
    else:
        assert (change.act, change.extra["rollout"]["percent"]) == ("rollout", following)
    assert "not worse" in change.reason
    ledger.add(step)  # the rules take it


def test_a_hold_changes_nothing_and_lost_numbers_call_somebody() -> None:
    assert asked(rolled_out(), Verdict("hold", ("not yet",))) == Reaction()
    lost = asked(rolled_out(), Verdict("hold", ("lost",), alarm=True))
    assert lost == Reaction(alarm="lost")


def in_production_after_another() -> Ledger:
    ledger = beside()
    ledger.add(promote(V2))
    return ledger


def test_a_version_in_production_that_fires_goes_back_to_the_one_before() -> None:
    decision = asked(in_production_after_another(), fired=TRIPPED).rollback
    assert decision is not None
    assert (decision.to, decision.withdrawn, decision.taken_back) == (V1, None, V2)
    assert decision.reason == "half of it fails"


def test_a_version_that_was_rolled_back_to_is_not_rolled_back_by_itself() -> None:
    ledger = in_production_after_another()
    ledger.add(move(V1, "production", reason="V2 is bad"))
    reaction = asked(ledger, fired=TRIPPED)
    assert reaction.rollback is None
    assert V1 in reaction.alarm


def test_with_nothing_to_go_back_to_somebody_is_called() -> None:
    reaction = asked(beside(), fired=TRIPPED)
    assert reaction.rollback is None
    assert "half of it fails" in reaction.alarm


def test_in_staging_nothing_is_taken_back() -> None:
    assert asked(beside(), fired=TRIPPED, environment="staging") == Reaction(
        alarm="half of it fails"
    )


def test_while_a_rollback_is_under_way_nothing_more_is_decided() -> None:
    ledger = in_production_after_another()
    decision = asked(ledger, fired=TRIPPED).rollback
    assert decision is not None
    now = decision.overrule(wanted(ledger))
    judgement = ModelAssessment(MODEL, "", None, TRIPPED)
    assert react(ledger.state, now, judgement, SETTINGS, "production", now=100) == Reaction()


def alert(version: str, **change: Any) -> Alert:
    values = {"model_name": MODEL, "model_version": version, "alertname": "ModelErrorRateHigh"}
    return Alert(**{**values, "status": "firing", **change})


def version_of(identity: str) -> str:
    return identity.rpartition("-v")[2]


def test_an_alert_takes_back_the_version_that_it_names_and_no_other() -> None:
    ledger = rolled_out()
    candidate = answer_alert(ledger.state, wanted(ledger), alert(version_of(V2)), 99).rollback
    assert candidate is not None
    assert (candidate.withdrawn, candidate.record) == (V2, {"alert": "ModelErrorRateHigh"})
    now = wanted(ledger).rollout.event
    old, new = (alert(version_of(V2), deployment=tag) for tag in ("an earlier one", now))
    assert answer_alert(ledger.state, wanted(ledger), old, 99) == Reaction()
    assert answer_alert(ledger.state, wanted(ledger), new, 99).rollback == candidate
    for other in (V1, V3):  # stable beside a rollout; one that serves nobody
        assert (
            answer_alert(ledger.state, wanted(ledger), alert(version_of(other)), 99) == Reaction()
        )
    ledger = in_production_after_another()
    stable = answer_alert(ledger.state, wanted(ledger), alert(version_of(V2)), 99).rollback
    assert stable is not None
    assert (stable.to, stable.taken_back) == (V1, V2)


def test_every_decision_becomes_an_event_that_the_rules_accept() -> None:
    for ledger, reaction in (
        (one := rolled_out(), asked(one, WORSE)),
        (two := in_production_after_another(), asked(two, fired=TRIPPED)),
    ):
        assert reaction.rollback is not None
        ledger.add(reaction.rollback.proposal())
        assert wanted(ledger).stable == V1
        assert not reaction.rollback.holds(ledger.state)

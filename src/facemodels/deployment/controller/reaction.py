"""Decides what follows from a judgement: roll back, take the next step, or raise an alarm. Pure.

A canary is rolled back here, in `_on_rollout`, if the verdict's answer is "roll back". The
verdict is made in `monitoring/analysis/verdict.py`, `decide`, from the sequential tests of the two
versions and from the triggers that the canary fires by itself. `recording` carries the reaction
out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from facemodels.deployment.controller.pending_rollbacks import PendingRollback, decide
from facemodels.deployment.desired import Desired, Rollout
from facemodels.deployment.rollback import Rollback, find_rollback
from facemodels.deployment.settings import Environment
from facemodels.errors import RuleError
from facemodels.monitoring.alerts.alertmanager import Alert
from facemodels.monitoring.analysis import FiredTrigger, Verdict
from facemodels.monitoring.analysis.watch import ModelAssessment, as_record
from facemodels.names import ModelId
from facemodels.registry import rules
from facemodels.registry.proposals import Proposal, ProposedEvent
from facemodels.registry.state import State, went_back


@dataclass(frozen=True)
class Reaction:
    """What the controller must do.

    Attributes:
        rollback: a rollback, by which traffic changes at once; None if there is none.
        proposal: the event of a rollout's next step; None if there is none.
        alarm: why an operator must look; "" if none must.
    """

    rollback: PendingRollback | None = None
    proposal: Proposal | None = None
    alarm: str = ""


def react(
    state: State,
    desired: Desired,
    judgement: ModelAssessment,
    settings: Environment,
    environment: str,
    now: int,
) -> Reaction:
    """Decide what follows from the judgement of one model.

    In staging no client is affected, so that a judgement only raises an alarm.

    Args:
        state: the state that the registry's tags add up to.
        desired: the desired state of the model, with pending rollbacks done.
        judgement: what the metrics say.
        settings: the settings of the environment.
        environment: `staging` or `production`.
        now: the time in seconds since 1970.
    """
    if environment != "production":
        return Reaction(alarm=_reasons(judgement.fired))
    if state.production.get(desired.model) != desired.stable:
        return Reaction()  # a rollback is pending
    rollout = desired.rollout
    if rollout is None:
        return _on_stable(state, desired, judgement, now)
    if judgement.rollout != rollout.event or judgement.verdict is None:
        return Reaction()
    return _on_rollout(state, desired, rollout, judgement, judgement.verdict, settings, now)


def _on_rollout(
    state: State,
    desired: Desired,
    rollout: Rollout,
    judgement: ModelAssessment,
    verdict: Verdict,
    settings: Environment,
    now: int,
) -> Reaction:
    if verdict.answer == "roll back":
        found = Rollback(desired.model, desired.stable, rollout.id, rollout.id)
        record = as_record(judgement)
        reason = "; ".join(verdict.reasons)
        return Reaction(decide(state, found, reason=reason, time=now, record=record))
    alarm = "; ".join(verdict.reasons) if verdict.alarm else ""
    if verdict.answer == "promote" and rollout.strategy == "progressive":
        return Reaction(proposal=_next_step(rollout, judgement, verdict, settings), alarm=alarm)
    return Reaction(alarm=alarm)


def _next_step(
    rollout: Rollout, judgement: ModelAssessment, verdict: Verdict, settings: Environment
) -> Proposal:
    """Propose the next percentage of a progressive rollout, or all of the traffic."""
    percent = next((step for step in sorted(settings.steps) if step > rollout.percent), 100)
    model = ModelId.parse(rollout.id)
    reason = f"{rollout.percent} % held: {'; '.join(verdict.reasons)}"

    def proposal(state: State) -> ProposedEvent:
        if percent >= 100:
            return rules.move(state, model, "production", reason=reason)
        terms = {"environment": "production", "strategy": "progressive", "percent": percent}
        return rules.roll_out(
            state, model, {**terms, "grounds": as_record(judgement)}, reason=reason
        )

    return proposal


def answer_alert(state: State, desired: Desired, alert: Alert, now: int) -> Reaction:
    """Decide what follows from an alert of Prometheus about a version of this model.

    An alert about an earlier deployment of the version is no ground to take it back again.
    """
    version = alert.model_version
    record = {"alert": alert.alertname}
    rollout = desired.rollout
    if state.production.get(desired.model) != desired.stable:
        return Reaction()
    if alert.deployment and alert.deployment not in (desired.event, rollout and rollout.event):
        return Reaction()
    if rollout is not None and str(ModelId.parse(rollout.id).version) == version:
        found = Rollback(desired.model, desired.stable, rollout.id, rollout.id)
        return Reaction(decide(state, found, reason=alert.alertname, time=now, record=record))
    if rollout is None and str(ModelId.parse(desired.stable).version) == version:
        return _back(state, desired, alert.alertname, record, now)
    return Reaction()


def _on_stable(state: State, desired: Desired, judgement: ModelAssessment, now: int) -> Reaction:
    """Roll back a version in production that fires a trigger."""
    reasons = _reasons(judgement.fired)
    return _back(state, desired, reasons, as_record(judgement), now) if reasons else Reaction()


def _back(
    state: State, desired: Desired, reasons: str, record: Mapping[str, Any], now: int
) -> Reaction:
    """Roll production back to the version before.

    A version that production was rolled back to is not rolled back again automatically, as every
    step would lead to an older version. An alarm is raised instead.
    """
    if went_back(state, desired.model):
        return Reaction(alarm=f"{desired.stable} was rolled back to, and it fires too: {reasons}")
    try:
        found = find_rollback(state, desired.model)
    except RuleError as error:
        return Reaction(alarm=f"{reasons}. {error}")
    return Reaction(decide(state, found, reason=reasons, time=now, record=record))


def _reasons(fired: tuple[FiredTrigger, ...]) -> str:
    return "; ".join(one.reason for one in fired)

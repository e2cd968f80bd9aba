"""What follows from a judgement: take back, go on, or call for somebody. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from facemodels.deployment.controller.pending_rollbacks import PendingRollback, decide
from facemodels.deployment.deploy import Rollback, find_rollback
from facemodels.deployment.desired import Desired, Rollout
from facemodels.deployment.settings import Environment
from facemodels.errors import RuleError
from facemodels.monitoring.alerts.alertmanager import Alert
from facemodels.monitoring.analysis import FiredTrigger, Verdict
from facemodels.monitoring.analysis.watch import ModelAssessment, as_record
from facemodels.names import ModelId
from facemodels.registry import rules
from facemodels.registry.rules import Proposal, ProposedEvent
from facemodels.registry.state import State, went_back


@dataclass(frozen=True)
class Reaction:
    """What to do.

    Attributes:
        decision: a rollback; traffic changes at once.
        plan: an event that brings a rollout on.
        alarm: somebody has to look; "" if nobody has to.
    """

    decision: PendingRollback | None = None
    plan: Proposal | None = None
    alarm: str = ""


def react(
    state: State,
    desired: Desired,
    judgement: ModelAssessment,
    settings: Environment,
    environment: str,
    now: int,
) -> Reaction:
    """What follows from the numbers of one model.

    In staging nobody's traffic is at stake: it calls, and changes nothing.

    Args:
        state: of the registry.
        desired: what shall serve, with decisions that are not in the chain yet.
        judgement: of the numbers.
        settings: of the environment.
        environment: `staging` or `production`.
        now: seconds since 1970.
    """
    if environment != "production":
        return Reaction(alarm=_words(judgement.fired))
    if state.production.get(desired.model) != desired.stable:
        return Reaction()  # a rollback is under way
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
        return Reaction(plan=_next_step(rollout, judgement, verdict, settings), alarm=alarm)
    return Reaction(alarm=alarm)


def _next_step(
    rollout: Rollout, judgement: ModelAssessment, verdict: Verdict, settings: Environment
) -> Proposal:
    """The next percentage, or all."""
    percent = next((step for step in sorted(settings.steps) if step > rollout.percent), 100)
    model = ModelId.parse(rollout.id)
    reason = f"{rollout.percent} % held: {'; '.join(verdict.reasons)}"

    def plan(state: State) -> ProposedEvent:
        if percent >= 100:
            return rules.move(state, model, "production", reason=reason)
        terms = {"environment": "production", "strategy": "progressive", "percent": percent}
        return rules.roll_out(
            state, model, {**terms, "grounds": as_record(judgement)}, reason=reason
        )

    return plan


def answer_alert(state: State, desired: Desired, alert: Alert, now: int) -> Reaction:
    """What follows from an alert of Prometheus about a version of this model."""
    version = alert.model_version
    record = {"alert": alert.alertname}
    rollout = desired.rollout
    if state.production.get(desired.model) != desired.stable:
        return Reaction()
    if rollout is not None and str(ModelId.parse(rollout.id).version) == version:
        found = Rollback(desired.model, desired.stable, rollout.id, rollout.id)
        return Reaction(decide(state, found, reason=alert.alertname, time=now, record=record))
    if rollout is None and str(ModelId.parse(desired.stable).version) == version:
        return _back(state, desired, alert.alertname, record, now)
    return Reaction()


def _on_stable(state: State, desired: Desired, judgement: ModelAssessment, now: int) -> Reaction:
    """A version in production fires a trigger: back to the one before, once."""
    words = _words(judgement.fired)
    return _back(state, desired, words, as_record(judgement), now) if words else Reaction()


def _back(
    state: State, desired: Desired, words: str, record: Mapping[str, Any], now: int
) -> Reaction:
    """Back to the version before.

    A version that production was rolled back to is not rolled back again by itself: each step
    leads to an older one, and somebody has to look.
    """
    if went_back(state, desired.model):
        return Reaction(alarm=f"{desired.stable} was rolled back to, and it fires too: {words}")
    try:
        found = find_rollback(state, desired.model)
    except RuleError as error:
        return Reaction(alarm=f"{words}. {error}")
    return Reaction(decide(state, found, reason=words, time=now, record=record))


def _words(fired: tuple[FiredTrigger, ...]) -> str:
    return "; ".join(one.reason for one in fired)

"""Tests what users say of one version against the rollback triggers. Pure.

Users report what annoys them, so the rates of reported decisions are no estimates of the rates of
all decisions; a threshold on them is a bound on complaints. A trigger fires where the whole
interval lies on the wrong side. The interval is wide (99.9 %), as it is looked at again and again.
How many opinions of one client count is bounded where they are taken (`feedback` of
conf/serving.yaml).
"""

from __future__ import annotations

from facemodels.intervals import wilson
from facemodels.monitoring.analysis.trigger_tests import FiredTrigger
from facemodels.monitoring.metrics.reading import SideCounts
from facemodels.monitoring.settings import Triggers

CONFIDENCE = 0.999


def fired_by_users(triggers: Triggers, said: SideCounts) -> tuple[FiredTrigger, ...]:
    """The triggers that users fire.

    Args:
        triggers: the thresholds.
        said: what they said within the monitoring window, since the version has its place.
    """
    other = said.false_matches + said.true_non_matches
    same = said.false_non_matches + said.true_matches
    found = (
        _satisfaction(triggers, said),
        _wrong("false_match_threshold", triggers.false_match_threshold, said.false_matches, other),
        _wrong(
            "false_non_match_threshold", triggers.false_non_match_threshold,
            said.false_non_matches, same,
        ),
    )  # fmt: skip
    return tuple(one for one in found if one is not None)


def _satisfaction(triggers: Triggers, said: SideCounts) -> FiredTrigger | None:
    threshold = triggers.satisfaction_threshold
    if not said.scores or wilson(said.score_sum, said.scores, CONFIDENCE)[1] >= threshold:
        return None
    mean = said.score_sum / said.scores
    reason = f"{said.scores:.0f} users give {mean:.2f} of 1; at least {threshold:g} is asked for"
    return FiredTrigger("satisfaction_threshold", mean, threshold, reason)


def _wrong(name: str, threshold: float, wrong: float, of: float) -> FiredTrigger | None:
    if not of or wilson(wrong, of, CONFIDENCE)[0] <= threshold:
        return None
    kind = name.removesuffix("_threshold").replace("_", " ")
    reason = f"{kind}: {wrong:.0f} of {of:.0f} reported decisions; at most {threshold:.1%} may be"
    return FiredTrigger(name, wrong / of, threshold, reason)

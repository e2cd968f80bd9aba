"""Tests one version alone against the rollback triggers. Pure.

A plain rate over the last minutes would fire at one error in three requests, and would notice only
minutes later when a version breaks after a good quarter of an hour. So the triggers for errors and
latency are tests of this question: has the expected share been above the threshold since some
window within the monitoring window?
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np

from facemodels.monitoring.analysis.e_processes import EVEN, FRACTIONS
from facemodels.monitoring.metrics.windows import Tally
from facemodels.monitoring.settings import Triggers

SLOW = 0.05  # the share of answers above the 95th percentile
READINGS = 3  # of memory, at least


@dataclass(frozen=True, slots=True)
class FiredTrigger:
    """A rollback trigger that fired.

    Attributes:
        trigger: its name in conf/rollback_triggers.yaml.
        value: what was measured: a rate, milliseconds, 10⁶ bytes or a drop.
        threshold: the threshold in the same unit.
        reason: a sentence with numbers, for people.
    """

    trigger: str
    value: float
    threshold: float
    reason: str

    def as_json(self) -> dict[str, Any]:
        """The trigger as the record of an event keeps it."""
        return {
            "trigger": self.trigger,
            "value": self.value,
            "threshold": self.threshold,
            "reason": self.reason,
        }


def fired_triggers(
    triggers: Triggers,
    tallies: Sequence[Tally],
    *,
    window_s: float,
    memory_mb: Sequence[float] = (),
    accuracy: tuple[float, float] | None = None,
    false_alarm: float = 0.01,
    sustained_s: float = 30.0,
) -> tuple[FiredTrigger, ...]:
    """The rollback triggers that a version fires now.

    Errors: the null hypothesis is that in each window the expected share of errors, given the
    past, is at most `error_rate_threshold`. Latency: the null hypothesis is that the expected share
    of answers slower than `latency_threshold_ms` (or than the next bound of the histogram above it)
    is at most 5 %. The evidence against both is an e-detector (Shin, Ramdas and Rinaldo 2023,
    E-detectors), which starts a bet in each window with an equal part of the stake. If the null
    hypotheses hold, the chance that one of the two fires within a monitoring window is at most
    `false_alarm`. Requests of a window may depend on each other, so one window hardly ever fires.

    Memory fires if every reading of the last `sustained_s`, and at least three, is above the
    threshold. Accuracy is measured on the same probes for both versions, so it is compared
    without a test.

    Args:
        triggers: the thresholds.
        tallies: the counts of the last windows in order, without the windows that have no numbers.
            Those before the monitoring window are ignored.
        window_s: the length of a window.
        memory_mb: the memory of the largest server in each window, 10⁶ bytes.
        accuracy: the accuracy on the probes of the version beside it and of this one, 0 to 1.
        false_alarm: the chance of a false alarm within a monitoring window.
        sustained_s: how long the memory must be above its threshold.

    Returns:
        The triggers that fire, in the order of the file.
    """
    span = 60 * triggers.monitoring_window_minutes
    last = tallies[-max(1, int(span / window_s)) :]
    # Where many clients ask, none of them counts for many.
    kept = [one.sampled if one.is_sampled and one.sampled else one for one in last]
    found = (
        _errors(triggers, kept, window_s / span, false_alarm / 2),
        _latency(triggers, kept, window_s / span, false_alarm / 2),
        _memory(triggers, memory_mb, max(READINGS, round(sustained_s / window_s))),
        _accuracy(triggers, accuracy),
    )
    return tuple(one for one in found if one is not None)


def log_evidence(shares: Sequence[float], threshold: float, start: float) -> float:
    """The evidence that the mean of shares has been above a threshold since some window.

    Args:
        shares: the share in each window, 0 to 1.
        threshold: the threshold, 0 to 1.
        start: the part of the stake with which a bet starts in each window.

    Returns:
        The logarithm of the e-detector's value.
    """
    if not shares:
        return float("-inf")
    y = np.asarray(shares) - threshold
    gains = np.log1p(np.outer(np.asarray(FRACTIONS) / threshold, y))
    since = gains[:, ::-1].cumsum(axis=1)  # from the window in which a bet started until now
    return float(np.logaddexp.reduce(since + np.log(EVEN)[:, None], axis=None) + log(start))


def _errors(
    triggers: Triggers, tallies: Sequence[Tally], start: float, chance: float
) -> FiredTrigger | None:
    pairs = [(tally.errors, tally.requests) for tally in tallies if tally.requests]
    threshold = triggers.error_rate_threshold
    if log_evidence([bad / of for bad, of in pairs], threshold, start) < -log(chance):
        return None
    bad, of = _worst(pairs)
    return FiredTrigger(
        "error_rate_threshold", bad / of, threshold,
        f"{bad} of the last {of} requests failed; at most {threshold:.1%} may",
    )  # fmt: skip


def _latency(
    triggers: Triggers, tallies: Sequence[Tally], start: float, chance: float
) -> FiredTrigger | None:
    threshold = triggers.latency_threshold_ms
    pairs = []
    for tally in tallies:
        # Answers above a bound that is not below the threshold are above the threshold, too.
        place = bisect_left(tally.bounds, threshold / 1000 * (1 - 1e-9))
        answers = tally.answers
        if answers and place < len(tally.bounds):
            pairs.append((sum(tally.latency[place + 1 :]), answers))
    if log_evidence([slow / of for slow, of in pairs], SLOW, start) < -log(chance):
        return None
    slow, of = _worst(pairs)
    return FiredTrigger(
        "latency_threshold_ms", _p95_ms(tallies), threshold,
        f"{slow} of the last {of} answers took over {threshold:g} ms; at most {SLOW:.0%} may",
    )  # fmt: skip


def _worst(pairs: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Sums over the last unbroken run of windows with bad requests, for the sentence to people."""
    bad = of = 0
    for one, all_ in reversed(pairs):
        if not one and bad:
            break
        bad, of = bad + one, of + all_
    return bad, of


def _p95_ms(tallies: Sequence[Tally]) -> float:
    """The bound under which 95 % of the answers lie; the last bound if it lies above all."""
    total = sum((tally for tally in tallies if tally.latency), Tally(0, 0))
    below = 0
    for bound, count in zip(total.bounds, total.latency, strict=False):
        below += count
        if below >= (1 - SLOW) * total.answers:
            return 1000 * bound
    return 1000 * total.bounds[-1]


def _memory(triggers: Triggers, readings: Sequence[float], needed: int) -> FiredTrigger | None:
    threshold = triggers.memory_threshold_mb
    last = readings[-needed:]
    if len(last) < needed or min(last) <= threshold:
        return None
    return FiredTrigger(
        "memory_threshold_mb", last[-1], threshold,
        f"{last[-1]:.0f} MB of memory, above {threshold:g} MB in the last {needed} readings",
    )  # fmt: skip


def _accuracy(triggers: Triggers, accuracy: tuple[float, float] | None) -> FiredTrigger | None:
    if accuracy is None:
        return None
    before, now = accuracy
    threshold = triggers.accuracy_drop_threshold
    if before - now <= threshold + 1e-9:  # 0.95 - 0.93 is a little more than 0.02
        return None
    return FiredTrigger(
        "accuracy_drop_threshold", before - now, threshold,
        f"accuracy {now:.3f} on the probes, {before:.3f} before; it may drop by {threshold:g}",
    )  # fmt: skip

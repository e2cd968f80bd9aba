"""Compares the two arms of an A/B test, each figure with its confidence interval. Pure.

Intervals of rates: Wilson, "Probable inference, the law of succession, and statistical
inference", JASA 22, 1927. Of their difference: Newcombe, "Interval estimation for the difference
between independent proportions", Statistics in Medicine 17, 1998, method 10. Both keep their
confidence for rates near 0 and 1, where error rates are; the normal approximation does not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from facemodels.errors import InputError
from facemodels.intervals import wilson
from facemodels.monitoring.metrics.reading import NOTHING_BESIDE, SideCounts
from facemodels.monitoring.metrics.windows import Tally


@dataclass(frozen=True)
class ConfidenceInterval:
    """An estimate with its confidence interval.

    Attributes:
        value: the estimate.
        low: the lower end of the interval.
        high: the upper end of the interval.
    """

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """For a difference: whether the two values differ, at the confidence of the interval."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Arm:
    """The figures of one version in an A/B test.

    Attributes:
        requests: the number of requests that ended, without those that the client got wrong.
        success: the success rate, 0 to 1; None without requests.
        latency_ms: the mean latency; None with fewer than two answers.
        satisfaction: the mean score of users, 0 to 1; None without scores.
    """

    requests: int
    success: ConfidenceInterval | None
    latency_ms: ConfidenceInterval | None
    satisfaction: ConfidenceInterval | None = None


@dataclass(frozen=True)
class ArmComparison:
    """Two versions and their difference, a − b.

    Attributes:
        a: the first version.
        b: the second version.
        success: the difference of the success rates; None where an arm has none.
        latency_ms: the difference of the mean latencies; None where an arm has none.
        confidence: the confidence of each interval by itself.
        satisfaction: the difference of the users' mean scores; None where an arm has none.
    """

    a: Arm
    b: Arm
    success: ConfidenceInterval | None
    latency_ms: ConfidenceInterval | None
    confidence: float
    satisfaction: ConfidenceInterval | None = None


def compare_arms(
    a: Tally,
    b: Tally,
    *,
    said: tuple[SideCounts, SideCounts] = (NOTHING_BESIDE, NOTHING_BESIDE),
    confidence: float = 0.95,
) -> ArmComparison:
    """Compare two versions over the same time.

    The intervals hold for one look at the end of a test whose length was fixed before. Whoever
    looks again and again and stops at the first difference is wrong more often than `confidence`
    says; the sequential test of `monitoring.analysis` is made for that.

    Args:
        a: the counts of the first version.
        b: the counts of the second version.
        said: what users said of both.
        confidence: the confidence of each interval, 0 < confidence < 1.

    Raises:
        InputError: the confidence is not between 0 and 1.
    """
    _check(confidence)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    first, second = (
        Arm(
            one.requests,
            share(one.requests - one.errors, one.requests, confidence=confidence),
            _latency(one, z),
            share(side.score_sum, side.scores, confidence=confidence),
        )
        for one, side in zip((a, b), said, strict=True)
    )
    return ArmComparison(
        first,
        second,
        _newcombe(first.success, second.success),
        _welch(first.latency_ms, second.latency_ms),
        confidence,
        _newcombe(first.satisfaction, second.satisfaction),
    )


def share(part: float, whole: float, *, confidence: float = 0.95) -> ConfidenceInterval | None:
    """A share, or a mean of scores from 0 to 1, with its interval (`intervals.wilson`).

    Args:
        part: how many of the whole, or the sum of the scores.
        whole: how many there are.
        confidence: of the interval, 0 < confidence < 1.

    Returns:
        The interval; None if the whole is zero.

    Raises:
        InputError: the confidence is not between 0 and 1, or the part not of the whole.
    """
    _check(confidence)
    if not 0 <= part <= whole * (1 + 1e-9):
        raise InputError(f"{part} of {whole} is no share.", "Give counts, the part first.")
    if not whole:
        return None
    part = min(part, whole)
    return ConfidenceInterval(part / whole, *wilson(part, whole, confidence))


def _check(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise InputError(f"A confidence of {confidence}.", "Give it between 0 and 1, as 0.95.")


def _newcombe(
    a: ConfidenceInterval | None, b: ConfidenceInterval | None
) -> ConfidenceInterval | None:
    if a is None or b is None:
        return None
    difference = a.value - b.value
    return ConfidenceInterval(
        difference,
        difference - math.hypot(a.value - a.low, b.high - b.value),
        difference + math.hypot(a.high - a.value, b.value - b.low),
    )


def _latency(tally: Tally, z: float) -> ConfidenceInterval | None:
    """The mean over the middles of the buckets, with its normal interval.

    Answers above the last bound count as that bound. The buckets add an error of at most half a
    bucket, 12 % of a latency, in the same direction for both arms.
    """
    if tally.answers < 2:
        return None
    lower = (0.0, *tally.bounds)
    upper = (*tally.bounds, tally.bounds[-1] if tally.bounds else 0.0)
    middles = [500 * (low + high) for low, high in zip(lower, upper, strict=True)]  # ms
    weighted = list(zip(tally.latency, middles, strict=True))
    mean = math.fsum(count * middle for count, middle in weighted) / tally.answers
    squares = math.fsum(count * (middle - mean) ** 2 for count, middle in weighted)
    half = z * math.sqrt(squares / (tally.answers - 1) / tally.answers)
    return ConfidenceInterval(mean, mean - half, mean + half)


def _welch(a: ConfidenceInterval | None, b: ConfidenceInterval | None) -> ConfidenceInterval | None:
    """The difference of means with unequal variances.

    Welch's degrees of freedom are left out: with thousands of answers they change nothing.
    """
    if a is None or b is None:
        return None
    difference = a.value - b.value
    half = math.hypot(a.high - a.value, b.high - b.value)
    return ConfidenceInterval(difference, difference - half, difference + half)

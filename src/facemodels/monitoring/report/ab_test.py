"""Two arms of a test beside each other, each figure with its confidence interval. Pure.

Intervals of rates: Wilson, "Probable inference, the law of succession, and statistical
inference", JASA 22, 1927. Of their difference: Newcombe, "Interval estimation for the difference
between independent proportions", Statistics in Medicine 17, 1998, method 10. They keep their
promise for rates near 0 and 1, where error rates are; the textbook's normal interval does not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from facemodels.errors import InputError
from facemodels.monitoring.metrics.windows import Tally


@dataclass(frozen=True)
class ConfidenceInterval:
    """An estimate and where the truth lies with the confidence asked for."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Of a difference: the two differ, with the confidence asked for."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Arm:
    """What one version did.

    Attributes:
        requests: that ended, the client's mistakes left out.
        success: rate, 0..1; None without requests.
        latency_ms: mean; None with fewer than two answers.
    """

    requests: int
    success: ConfidenceInterval | None
    latency_ms: ConfidenceInterval | None


@dataclass(frozen=True)
class ArmComparison:
    """Two versions and their difference, a − b.

    Attributes:
        a: the first.
        b: the second.
        success: difference of the success rates; None where an arm has none.
        latency_ms: difference of the mean latencies; None where an arm has none.
        confidence: of every interval, each by itself.
    """

    a: Arm
    b: Arm
    success: ConfidenceInterval | None
    latency_ms: ConfidenceInterval | None
    confidence: float


def compare_arms(a: Tally, b: Tally, *, confidence: float = 0.95) -> ArmComparison:
    """Compare two versions over the same time.

    For a look at the end of a test with a length that was fixed before: who looks again and
    again and stops at the first difference is wrong more often than `confidence` says. The
    verdict is made for looking again and again.

    Args:
        a: what the first version did.
        b: what the second did.
        confidence: of every interval, 0 < confidence < 1.

    Raises:
        InputError: the confidence is no such number.
    """
    _check(confidence)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    first, second = (
        Arm(
            one.requests,
            wilson(one.requests - one.errors, one.requests, confidence=confidence),
            _latency(one, z),
        )
        for one in (a, b)
    )
    return ArmComparison(
        first,
        second,
        _newcombe(first.success, second.success),
        _welch(first.latency_ms, second.latency_ms),
        confidence,
    )


def wilson(part: int, whole: int, *, confidence: float = 0.95) -> ConfidenceInterval | None:
    """A share with Wilson's score interval, from scipy.

    Args:
        part: how many of the whole.
        whole: how many there are.
        confidence: of the interval, 0 < confidence < 1.

    Returns:
        The interval; None if the whole is zero.

    Raises:
        InputError: the confidence is not between 0 and 1, or the part not of the whole.
    """
    from scipy.stats import binomtest

    _check(confidence)
    if not 0 <= part <= whole:
        raise InputError(f"{part} of {whole} is no share.", "Give counts, the part first.")
    if not whole:
        return None
    found = binomtest(part, whole).proportion_ci(confidence, method="wilson")
    return ConfidenceInterval(part / whole, float(found.low), float(found.high))


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
    """Mean of the buckets' middles, and its normal interval.

    Answers above the last bound count as that bound. The buckets add an error of their own, of
    at most half a bucket: 12 % of a latency, the same way for both arms.
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
    """Of means with unequal variances; thousands of answers need no degrees of freedom."""
    if a is None or b is None:
        return None
    difference = a.value - b.value
    half = math.hypot(a.high - a.value, b.high - b.value)
    return ConfidenceInterval(difference, difference - half, difference + half)

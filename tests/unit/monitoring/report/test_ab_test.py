from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from facemodels.errors import InputError
from facemodels.monitoring.metrics.reading import SideCounts
from facemodels.monitoring.metrics.windows import Tally
from facemodels.monitoring.report import compare_arms, share

BOUNDS = (0.01, 0.02, 0.04)


@settings(deadline=None)  # the first example imports scipy
@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_of_a_share_is_wilsons(counts: tuple[int, int]) -> None:
    part, whole = counts
    found = share(part, whole, confidence=0.9)
    assert found is not None
    exact = binomtest(part, whole).proportion_ci(0.9, method="wilson")
    assert found.low == pytest.approx(exact.low, rel=0, abs=1e-12)
    assert found.high == pytest.approx(exact.high, rel=0, abs=1e-12)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert (found.low == 0) == (part == 0)
    assert (found.high == 1) == (part == whole)


def test_a_share_of_nothing_is_unknown_and_more_than_all_is_refused() -> None:
    assert share(0, 0) is None
    with pytest.raises(InputError, match="5 of 4"):
        share(5, 4)
    with pytest.raises(InputError, match="confidence"):
        share(1, 2, confidence=1.0)


# Newcombe 1998, Table II, method 10.
@pytest.mark.parametrize(
    ("a", "b", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((0, 10), (0, 10), -0.2775, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0000),
        ((10, 10), (0, 10), 0.6075, 1.0000),
    ],
)
def test_the_difference_of_rates_is_the_one_of_newcombes_table(
    a: tuple[int, int], b: tuple[int, int], low: float, high: float
) -> None:
    found = compare_arms(Tally(a[1], a[1] - a[0]), Tally(b[1], b[1] - b[0])).success
    assert found is not None
    assert found.value == pytest.approx(a[0] / a[1] - b[0] / b[1])
    assert found.low == pytest.approx(low, abs=6e-5)
    assert found.high == pytest.approx(high, abs=6e-5)
    assert found.excludes_zero == (low > 0)


def test_the_interval_of_a_difference_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    truth = 0.03 - 0.01
    held = 0
    for _ in range(2000):
        errors_a, errors_b = rng.binomial(300, 0.03), rng.binomial(900, 0.01)
        found = compare_arms(Tally(300, int(errors_a)), Tally(900, int(errors_b))).success
        assert found is not None
        held += found.low <= -truth <= found.high
    assert held / 2000 == pytest.approx(0.95, abs=0.02)


def test_the_mean_latency_is_that_of_the_buckets_middles() -> None:
    tally = Tally(40, 0, BOUNDS, (10, 20, 5, 5))
    middles = np.repeat([5.0, 15.0, 30.0, 40.0], [10, 20, 5, 5])
    found = compare_arms(tally, tally).a.latency_ms
    assert found is not None
    assert found.value == pytest.approx(middles.mean())
    half = 1.959964 * middles.std(ddof=1) / math.sqrt(40)
    assert (found.low, found.high) == pytest.approx((middles.mean() - half, middles.mean() + half))


def test_the_difference_of_latencies_is_welchs() -> None:
    from scipy.stats import ttest_ind

    counts = (np.array([400, 900, 300, 20]), np.array([900, 400, 200, 10]))
    a, b = (Tally(int(c.sum()), 0, BOUNDS, tuple(map(int, c))) for c in counts)
    samples = [np.repeat([5.0, 15.0, 30.0, 40.0], c) for c in counts]
    theirs = ttest_ind(*samples, equal_var=False).confidence_interval(0.95)
    found = compare_arms(a, b).latency_ms
    assert found is not None
    assert found.low == pytest.approx(theirs.low, rel=1e-2)
    assert found.high == pytest.approx(theirs.high, rel=1e-2)
    assert found.excludes_zero


def test_an_arm_without_requests_is_unknown_and_so_is_the_difference() -> None:
    found = compare_arms(Tally(0, 0), Tally(100, 1, BOUNDS, (100, 0, 0, 0)))
    assert found.a.success is None
    assert found.a.latency_ms is None
    assert found.success is None
    assert found.latency_ms is None
    assert found.b.success is not None
    one = compare_arms(Tally(1, 0, BOUNDS, (1, 0, 0, 0)), Tally(1, 0, BOUNDS, (1, 0, 0, 0)))
    assert one.a.latency_ms is None


def test_equal_arms_may_differ_by_chance_alone() -> None:
    tally = Tally(1000, 12, BOUNDS, (500, 400, 88, 0))
    found = compare_arms(tally, tally)
    assert found.success is not None
    assert found.latency_ms is not None
    assert not found.success.excludes_zero
    assert not found.latency_ms.excludes_zero


def test_the_satisfaction_of_both_arms_is_compared_where_users_judged_both() -> None:
    some = Tally(1000, 0, BOUNDS, (0, 1000, 0, 0))
    content, cross = (SideCounts(scores=200, score_sum=total) for total in (180, 120))
    found = compare_arms(some, some, said=(content, cross))
    assert found.satisfaction is not None
    assert found.satisfaction.value == pytest.approx(0.3)
    assert found.satisfaction.excludes_zero
    assert compare_arms(some, some, said=(content, SideCounts())).satisfaction is None

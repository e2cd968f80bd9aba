"""One version held to the triggers' file."""

from __future__ import annotations

import math

import numpy as np
import pytest

from facemodels.monitoring.analysis import fired_triggers
from facemodels.monitoring.analysis.trigger_tests import log_evidence
from facemodels.monitoring.metrics.windows import Tally
from facemodels.monitoring.settings import Triggers

TRIGGERS = Triggers()
BOUNDS = (0.1, 0.25, 0.4, 0.5, 0.63, 1.0)
QUIET = [Tally(5, 0, BOUNDS, (5, 0, 0, 0, 0, 0, 0))] * 1800


def failing(errors: int, requests: int = 5) -> Tally:
    return Tally(requests, errors, BOUNDS, (requests, 0, 0, 0, 0, 0, 0))


def slow(answers: int, of: int = 5) -> Tally:
    return Tally(of, 0, BOUNDS, (of - answers, 0, 0, 0, answers, 0, 0))


def names(tallies, **more) -> list[str]:
    return [one.trigger for one in fired_triggers(TRIGGERS, tallies, window_s=1.0, **more)]


def test_one_error_in_three_requests_does_not_fire():
    assert names([failing(1, 3)]) == []
    assert names([failing(1, 1), failing(0, 1), failing(0, 1)]) == []


def test_one_window_that_fails_whole_does_not_fire():
    assert names([*QUIET, failing(50, 50)]) == []


@pytest.mark.parametrize("before", [[], QUIET], ids=["from its start", "after half an hour"])
def test_failing_half_of_the_requests_fires_within_seconds(before):
    took = []
    for seed in range(30):
        errors = np.random.default_rng(seed).binomial(5, 0.5, 30)
        tallies = list(before)
        for second, count in enumerate(errors, 1):
            tallies.append(failing(int(count)))
            if names(tallies) == ["error_rate_threshold"]:
                took.append(second)
                break
    assert len(took) == 30
    assert np.median(took) <= 8
    assert min(took) >= 3


def test_what_fires_says_what_was_seen():
    (one,) = fired_triggers(TRIGGERS, [*QUIET, *[failing(3)] * 12], window_s=1.0)
    assert one.reason == "36 of the last 60 requests failed; at most 5.0% may"
    assert one.as_json()["value"] == pytest.approx(0.6)


def test_slow_answers_fire_the_trigger_for_latency():
    (one,) = fired_triggers(TRIGGERS, [*QUIET[:20], *[slow(4)] * 20], window_s=1.0)
    assert one.trigger == "latency_threshold_ms"
    assert (one.value, one.threshold) == (630, 500)
    assert "over 500 ms" in one.reason


def test_answers_just_under_the_threshold_do_not_fire():
    under = Tally(5, 0, BOUNDS, (0, 0, 0, 5, 0, 0, 0))  # up to 0.5 s
    assert names([under] * 600) == []


def test_a_threshold_between_two_bounds_is_held_at_the_next():
    triggers = Triggers(latency_threshold_ms=450)
    between = Tally(5, 0, BOUNDS, (0, 0, 0, 5, 0, 0, 0))  # 0.4 to 0.5 s: perhaps under 450 ms
    assert fired_triggers(triggers, [between] * 600, window_s=1.0) == ()
    assert (
        fired_triggers(triggers, [slow(5)] * 60, window_s=1.0)[0].trigger == "latency_threshold_ms"
    )


def test_a_threshold_above_all_bounds_cannot_fire():
    high = Triggers(latency_threshold_ms=5000)
    above = Tally(5, 0, BOUNDS, (0, 0, 0, 0, 0, 0, 5))
    assert fired_triggers(high, [above] * 60, window_s=1.0) == ()


@pytest.mark.parametrize("tallies", [[], [Tally(0, 0)] * 100], ids=["no windows", "no requests"])
def test_nothing_fires_without_requests(tallies):
    assert names(tallies) == []


def test_what_lies_before_the_monitoring_window_is_forgotten():
    course = [*[failing(5)] * 60, *QUIET[:60]]
    assert names(course) == ["error_rate_threshold"]
    assert fired_triggers(Triggers(monitoring_window_minutes=1), course, window_s=1.0) == ()


def test_memory_fires_when_it_stays_above_and_not_for_a_peak():
    assert names([], memory_mb=[2100.0] * 30) == ["memory_threshold_mb"]
    assert names([], memory_mb=[2100.0] * 29) == []
    assert names([], memory_mb=[2100.0] * 29 + [1900.0] + [2100.0] * 10) == []
    assert names([], memory_mb=[1900.0] * 100 + [2100.0] * 30) == ["memory_threshold_mb"]


def test_accuracy_fires_when_it_drops_by_more_than_allowed():
    assert names([], accuracy=(0.95, 0.93)) == []
    assert names([], accuracy=(0.95, 0.92)) == ["accuracy_drop_threshold"]
    assert names([], accuracy=(0.93, 0.95)) == []


def test_all_triggers_fire_in_the_files_order():
    both = Tally(5, 5, BOUNDS, (0, 0, 0, 0, 0, 0, 5))
    assert names([both] * 60, memory_mb=[9e3] * 60, accuracy=(1.0, 0.0)) == [
        "error_rate_threshold",
        "latency_threshold_ms",
        "memory_threshold_mb",
        "accuracy_drop_threshold",
    ]


def test_a_version_at_the_threshold_hardly_ever_fires_though_looked_at_every_second():
    """Stake and starts: the chance that any look of a monitoring window fires is at most 2 %."""
    rng, false = np.random.default_rng(8), 0
    for _ in range(150):
        shares = list(rng.binomial(5, 0.05, 120) / 5)
        looks = (log_evidence(shares[:seen], 0.05, 1 / 120) for seen in range(1, len(shares) + 1))
        false += max(looks) >= -math.log(0.02)
    assert false <= 0.02 * 150 + 3 * math.sqrt(150 * 0.02 * 0.98)


def test_evidence_is_the_stake_of_every_start_times_its_gains():
    shares, start = (0.4, 0.0, 1.0), 0.25
    expected = 0.0
    for fraction in (0.97, 0.75, 0.5, 0.25, 0.1):
        for first in range(3):
            gains = [1 + fraction / 0.05 * (share - 0.05) for share in shares[first:]]
            expected += start * 0.2 * math.prod(gains)
    assert log_evidence(shares, 0.05, start) == pytest.approx(math.log(expected))

"""The verdict on a canary: what it must and must never answer."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.bounded import examples

from facemodels.monitoring.analysis import (
    FiredTrigger,
    MetricEvidence,
    SequentialTest,
    Verdict,
    decide,
)  # fmt: skip
from facemodels.monitoring.analysis.trigger_tests import fired_triggers
from facemodels.monitoring.metrics.windows import Tally, Window
from facemodels.monitoring.settings import Triggers, VerdictSettings

BOUNDS = (0.04, 0.05, 0.063, 0.08, 0.1, 0.125, 0.16, 0.2, 0.25)
SETTINGS = VerdictSettings(window_s=1.0)
RANK = {"roll back": 0, "hold": 1, "promote": 2}


def judge(
    course: Iterable[Window],
    settings: VerdictSettings,
    *,
    since: float | None = None,
    now: float | None = None,
) -> Verdict:
    """The verdict after all of these windows, in the order of time."""
    test = SequentialTest(settings, since)
    for window in course:
        test.add(window)
    return test.verdict(now)


def tally(requests: int, errors: int = 0, slow: int = 0) -> Tally:
    """Most answers take up to 50 ms, one in five up to 80 ms, `slow` of them up to 250 ms."""
    latency = [0] * (len(BOUNDS) + 1)
    usual = requests - slow
    latency[1], latency[3], latency[8] = usual - usual // 5, usual // 5, slow
    return Tally(requests, errors, BOUNDS, tuple(latency))


def windows(canaries, stables, seconds: float = 1.0) -> list[Window]:
    return [
        Window(100 + seconds * at, 100 + seconds * (at + 1), canary, stable)
        for at, (canary, stable) in enumerate(zip(canaries, stables, strict=True))
    ]


def simulated(rng, seconds, canary, stable, canary_errors, stable_errors, slow=0.0):
    failed = rng.binomial(canary, canary_errors, seconds)
    late = rng.binomial(canary, slow, seconds)
    beside = rng.binomial(stable, stable_errors, seconds)
    return windows(
        [tally(canary, int(k), int(s)) for k, s in zip(failed, late, strict=True)],
        [tally(stable, int(k)) for k in beside],
    )


def first_answer(given_windows, chosen=SETTINGS) -> tuple[str, int]:
    evidence = SequentialTest(chosen)
    for number, window in enumerate(given_windows, 1):
        evidence.add(window)
        answer = evidence.verdict().answer
        if answer != "hold":
            return answer, number
    return "hold", len(given_windows)


def test_a_good_canary_is_promoted_and_the_reasons_say_why():
    verdict = judge(windows([tally(5)] * 300, [tally(45)] * 300), SETTINGS)
    assert verdict.answer == "promote"
    assert not verdict.alarm
    assert verdict.reasons[0] == "not worse in errors: 0.0% of 1500 requests, 0.0% beside it"
    assert [metric.name for metric in verdict.metrics] == ["errors", "latency p50", "latency p95"]


def test_a_canary_that_fails_half_of_five_requests_a_second_is_condemned_within_seconds():
    took = []
    for seed in range(50):
        course = simulated(np.random.default_rng(seed), 60, 5, 45, 0.5, 0.005)
        answer, seconds = first_answer(course)
        assert answer == "roll back"
        took.append(seconds)
    assert np.median(took) <= 5
    assert max(took) <= 8


def test_a_condemned_canary_stays_condemned_whatever_follows():
    bad = windows([tally(5, 5)] * 6, [tally(45)] * 6)
    good = windows([tally(5)] * 600, [tally(45, 5)] * 600)
    assert judge(bad, SETTINGS).answer == "roll back"
    assert judge([*good, *bad], SETTINGS).answer != "roll back"
    assert judge([*bad, *good], SETTINGS).answer == "roll back"


def test_one_hiccup_of_a_window_condemns_nobody():
    course = windows([tally(5), tally(5, 5), tally(5)], [tally(45)] * 3)
    assert judge(course, SETTINGS).answer == "hold"


def test_bursts_that_strike_both_alike_are_weather():
    rng, backs = np.random.default_rng(2), 0
    for _ in range(40):
        storm = np.where(rng.random(200) < 0.05, 0.5, 0.005)
        course = windows(
            [tally(5, int(k)) for k in rng.binomial(5, storm)],
            [tally(45, int(k)) for k in rng.binomial(45, storm)],
        )
        backs += first_answer(course)[0] == "roll back"
    assert backs <= 2


def test_a_canary_worse_by_just_the_margin_is_not_promoted():
    rng = np.random.default_rng(3)
    answers = [first_answer(simulated(rng, 400, 5, 45, 0.025, 0.005))[0] for _ in range(40)]
    assert answers.count("promote") <= 2


def test_windows_that_fail_as_a_whole_keep_the_promise_too():
    """One window in 25 fails whole: the requests of a window are one observation, not five."""
    rng, promoted = np.random.default_rng(6), 0
    chosen = SETTINGS.model_copy(update={"false_rollback": 1e-9})  # or it were rolled back first
    for _ in range(60):
        failed = rng.random(300) < SETTINGS.error_margin
        course = windows([tally(5, 5 * int(k)) for k in failed], [tally(45)] * 300)
        promoted += first_answer(course, chosen)[0] == "promote"
    assert promoted <= 4


def test_a_slow_canary_is_rolled_back_for_its_latency():
    course = windows([tally(5, slow=5)] * 60, [tally(45)] * 60)
    verdict = judge(course, SETTINGS)
    assert verdict.answer == "roll back"
    assert verdict.reasons[0].startswith("worse in latency p50: 100.0% of ")
    assert "answers over 63 ms, 20.0% over 50 ms beside it" in verdict.reasons[0]


def test_a_canary_one_bucket_slower_is_not_worse():
    def at(place: int, requests: int) -> Tally:
        latency = [0] * (len(BOUNDS) + 1)
        latency[place] = requests
        return Tally(requests, 0, BOUNDS, tuple(latency))

    stable = [at(3, 45)] * 400
    assert judge(windows([at(4, 5)] * 400, stable), SETTINGS).answer == "promote"
    assert judge(windows([at(5, 5)] * 400, stable), SETTINGS).answer == "roll back"


def test_a_latency_above_all_buckets_of_both_compares_nothing_wrong():
    above = Tally(5, 0, BOUNDS, (*(0,) * len(BOUNDS), 5))
    beside = Tally(45, 0, BOUNDS, (*(0,) * len(BOUNDS), 45))
    assert judge(windows([above] * 50, [beside] * 50), SETTINGS).answer == "hold"


def test_other_buckets_of_the_canary_are_compared_at_the_next_bound():
    other = (0.045, 0.09, 0.15, 0.3)
    slow = Tally(5, 0, other, (0, 0, 0, 5, 0))
    swift = Tally(5, 0, other, (5, 0, 0, 0, 0))
    stable = [tally(45)] * 300
    assert judge(windows([slow] * 300, stable), SETTINGS).answer == "roll back"
    assert judge(windows([swift] * 300, stable), SETTINGS).answer == "promote"


@pytest.mark.parametrize(
    ("canary", "stable"),
    [(tally(0), tally(45)), (tally(5), tally(0)), (tally(0), tally(0)), (None, None)],
    ids=["no requests to it", "none to the other", "none at all", "no numbers"],
)
def test_no_data_is_a_hold_however_long(canary, stable):
    verdict = judge(windows([canary] * 1000, [stable] * 1000), SETTINGS)
    assert verdict.answer == "hold"
    assert all(metric.fit == 0 for metric in verdict.metrics)


def test_no_windows_at_all_is_a_hold():
    assert judge([], SETTINGS).answer == "hold"


def test_errors_without_latencies_are_a_hold():
    """A server without the histogram is not known to be quick."""
    course = windows([Tally(5, 0)] * 600, [Tally(45, 0)] * 600)
    verdict = judge(course, SETTINGS)
    assert verdict.answer == "hold"
    assert "latency p50: nothing to compare yet" in verdict.reasons[0]


@pytest.mark.parametrize("lost", ["canary", "stable"])
def test_lost_numbers_hold_at_once_and_raise_the_alarm_after_the_silence(lost):
    course = windows([tally(5)] * 400, [tally(45)] * 400)
    evidence = SequentialTest(SETTINGS)
    for window in course:
        evidence.add(window)
    assert evidence.verdict().answer == "promote"
    for second in range(1, 31):
        start = course[-1].end + second - 1
        evidence.add(replace(Window(start, start + 1, tally(5), tally(45)), **{lost: None}))
        assert evidence.verdict().answer == "hold"
        assert evidence.verdict().alarm == (second >= SETTINGS.silence_s)
    start = course[-1].end + 30
    evidence.add(Window(start, start + 1, tally(5), tally(45)))
    assert evidence.verdict().answer == "promote"


def test_silence_counts_from_the_last_window_to_now_and_from_the_beginning():
    course = windows([tally(5)] * 400, [tally(45)] * 400)
    assert judge(course, SETTINGS, now=course[-1].end + 2).answer == "promote"
    late = judge(course, SETTINGS, now=course[-1].end + 31)
    assert (late.answer, late.alarm) == ("hold", True)
    assert not judge([], SETTINGS, since=100, now=120).alarm
    assert judge([], SETTINGS, since=100, now=131).alarm


def test_a_clock_that_jumps_back_neither_raises_nor_alarms():
    course = windows([tally(5)] * 10, [tally(45)] * 10)
    verdict = judge([*course, Window(50, 51, tally(5), tally(45))], SETTINGS, now=20)
    assert (verdict.answer, verdict.alarm) == ("hold", False)


def test_a_trigger_that_fires_rolls_the_canary_back():
    test = SequentialTest(SETTINGS)
    fired = FiredTrigger("memory_threshold_mb", 2100, 2000, "2100 MB of memory")
    assert test.verdict().answer == "hold"
    assert test.verdict(fired=[fired]).answer == "roll back"
    assert test.verdict(fired=[fired]).reasons == ("2100 MB of memory",)


def evidence(worse: bool, fit: bool) -> MetricEvidence:
    return MetricEvidence("errors", 0.1, 0.0, 100, 20, 9.0 * worse, 5.7, 9.0 * fit, 4.6)


@pytest.mark.parametrize(
    ("worse", "fit", "fired", "lost", "silent", "answer"),
    [
        (True, True, False, False, False, "roll back"),
        (True, False, False, True, True, "roll back"),
        (False, True, True, False, False, "roll back"),
        (False, True, True, True, True, "roll back"),
        (False, True, False, True, True, "hold"),
        (False, True, False, False, True, "hold"),
        (False, True, False, False, False, "promote"),
        (False, False, False, False, False, "hold"),
    ],
)
def test_the_first_rule_that_applies_decides(worse, fit, fired, lost, silent, answer):
    trigger = FiredTrigger("memory_threshold_mb", 2100, 2000, "2100 MB of memory")
    verdict = decide(
        [evidence(worse, fit), evidence(False, True)],
        fired=[trigger] * fired,
        lost=["lost"] * lost,
        silent=["silent"] * silent,
        requests=100,
    )
    assert (verdict.answer, verdict.alarm, verdict.requests) == (answer, lost, 100)
    assert ("2100 MB of memory" in verdict.reasons) == fired
    assert any("worse in" in one for one in verdict.reasons) == (worse or answer == "promote")


def test_the_record_is_json_and_holds_the_evidence():
    verdict = judge(windows([tally(5)] * 300, [tally(45)] * 300), SETTINGS)
    record = json.loads(json.dumps(verdict.as_json()))
    assert record["answer"] == "promote"
    assert record["requests"] == 1500
    assert record["metrics"][0]["log_e_fit"] > record["metrics"][0]["log_e_fit_needed"]
    assert record["metrics"][0]["log_e_worse_needed"] == pytest.approx(math.log(300), abs=1e-3)


def test_scrapes_of_a_second_make_windows_of_five():
    course = windows([tally(5)] * 20, [tally(45)] * 20, seconds=1.0)
    verdict = judge(course, VerdictSettings(window_s=5.0))
    assert verdict.metrics[0].windows == 4


def test_a_window_stays_open_until_both_had_a_request():
    course = windows([tally(0), tally(0), tally(1)] * 10, [tally(45)] * 30)
    assert judge(course, SETTINGS).metrics[0].windows == 10


@st.composite
def courses(draw):
    def one(most: int) -> Tally:
        requests = draw(st.integers(0, most))
        return tally(
            requests, draw(st.integers(0, requests)), draw(st.integers(0, requests))
        )  # fmt: skip

    size = draw(st.integers(1, 12))
    return windows([one(6) for _ in range(size)], [one(20) for _ in range(size)])


@settings(max_examples=examples(100), deadline=None)
@given(courses())
def test_the_same_windows_give_the_same_verdict_at_once_or_step_by_step(course):
    evidence = SequentialTest(SETTINGS)
    for window in course:
        evidence.add(window)
        evidence.verdict()  # looking changes nothing
    assert evidence.verdict().as_json() == judge(course, SETTINGS).as_json()


@settings(max_examples=examples(100), deadline=None)
@given(courses(), st.randoms(use_true_random=False))
def test_the_order_of_windows_does_not_matter_to_the_evidence_on_errors(course, random):
    full = [w for w in course if w.canary.requests and w.stable.requests]
    mixed = random.sample(full, len(full))
    one, other = (judge(each, SETTINGS).metrics[0] for each in (full, mixed))
    assert one.fit == pytest.approx(other.fit, abs=1e-9)
    assert (one.canary, one.stable, one.requests) == (other.canary, other.stable, other.requests)


@settings(max_examples=examples(150), deadline=None)
@given(courses(), st.integers(1, 60), st.data())
def test_more_errors_of_the_canary_never_move_towards_promote(course, times, data):
    course = windows(
        [window.canary for window in course] * times, [window.stable for window in course] * times
    )
    places = [i for i, w in enumerate(course) if w.canary.errors < w.canary.requests]
    if not places:
        return
    place = data.draw(st.sampled_from(places))
    canary = course[place].canary
    worse = replace(canary, errors=data.draw(st.integers(canary.errors + 1, canary.requests)))
    changed = [*course[:place], replace(course[place], canary=worse), *course[place + 1 :]]
    before, after = judge(course, SETTINGS), judge(changed, SETTINGS)
    assert RANK[after.answer] <= RANK[before.answer]
    assert after.metrics[0].fit <= before.metrics[0].fit
    assert after.metrics[0].worse >= before.metrics[0].worse - 1e-9


@settings(max_examples=examples(100), deadline=None)
@given(courses(), st.data())
def test_slower_answers_of_the_canary_never_move_towards_promote(course, data):
    place = data.draw(st.integers(0, len(course) - 1))
    canary = course[place].canary
    slower = replace(canary, latency=(0,) * 8 + (canary.answers, 0))
    changed = [*course[:place], replace(course[place], canary=slower), *course[place + 1 :]]
    before, after = judge(course, SETTINGS), judge(changed, SETTINGS)
    assert RANK[after.answer] <= RANK[before.answer]
    for old, new in zip(before.metrics[1:], after.metrics[1:], strict=True):
        assert new.fit <= old.fit + 1e-9
        assert new.worse >= old.worse - 1e-9


def test_a_window_is_judged_by_a_bound_that_was_known_before_it():
    shifted = Tally(45, 0, BOUNDS, (*(0,) * 8, 45, 0))
    course = windows([tally(5)] * 4, [*[tally(45)] * 3, shifted])
    metric = judge(course, SETTINGS).metrics[1]
    assert metric.bounds_s == (0.063, 0.05)
    assert metric.stable == pytest.approx((9 + 9 + 45) / 135)


def test_the_bound_rests_on_all_windows_before():
    """Twenty answers are enough, and four windows have them."""
    course = windows([tally(5)] * 6, [tally(5)] * 6)
    assert judge(course, SETTINGS).metrics[1].requests == 2 * 5


@pytest.mark.parametrize("clients", [30, 5])
def test_a_burst_of_one_client_of_many_does_not_condemn_a_version(clients: int) -> None:
    """Fifty heavy requests that fail, all of them with the canary, in ten seconds."""
    bounds = (0.1, 1.0)
    quiet = Tally(clients, 0, bounds, (clients, 0, 0), Tally(clients, 0, bounds, (clients, 0, 0)))
    kept = Tally(clients + 1, 1, bounds, (clients, 0, 1))
    struck = Tally(clients + 10, 10, bounds, (clients, 0, 10), kept)
    test = SequentialTest(VerdictSettings())
    for number in range(30):
        canary = struck if 10 <= number < 15 else quiet
        test.add(Window(2.0 * number, 2.0 * number + 2, canary, quiet))
    condemned = test.verdict().answer == "roll back"
    # Of few clients everything counts, as there is nothing else to judge by.
    assert condemned == (clients == 5)
    if clients == 30:
        assert fired_triggers(Triggers(), [struck] * 5, window_s=2.0) == ()

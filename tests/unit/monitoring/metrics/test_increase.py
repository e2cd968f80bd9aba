"""Counters → events: every event is counted once, whatever is looked at and when."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest

from facemodels.errors import InputError
from facemodels.monitoring.metrics.increase import (
    Increase,
    InstanceReading,
    between,
    increases,
    lost_reading,
    merge,
    together,
)
from facemodels.monitoring.metrics.reading import STATUSES, Histogram, Reading, Series, parse
from facemodels.monitoring.metrics.source import window_of
from facemodels.serving.metrics import Metrics

SERIES = Series("recognition-facenet", "2.1.3")


def reading(success: int = 0, invalid: int = 0, error: int = 0, slow: int = 0) -> Reading:
    fast = success + error - slow
    return Reading(
        statuses=(success, invalid, 0, 0, error),
        latency=Histogram((0.1, 1.0), (fast, slow, 0), 0.05 * fast + 0.5 * slow),
        inference=Histogram((0.1,), (success, 0), 0.01 * success),
        memory_bytes=1e8,
        in_flight=0,
    )


def total(looks: list[InstanceReading], since: float = 0) -> Increase | None:
    return together([work for _, work in increases(looks, since)])


def test_what_a_server_writes_is_read_as_it_counted() -> None:
    metrics = Metrics(*SERIES, "digest")
    for status, times in zip(STATUSES, (5, 4, 3, 2, 1), strict=True):
        for _ in range(times):
            metrics.count(status)
    metrics.count("abandoned")  # a client that left is no evidence
    for seconds in (0.0004, 0.0004, 0.3, 100):
        metrics.answered(seconds)
    metrics.ran(1, 0.02, 0.0)
    metrics.in_flight.set(3)
    found = parse(generate_latest(metrics.registry).decode(), SERIES)
    assert found.statuses == (5, 4, 3, 2, 1)
    work = between(None, found)
    assert (work.tally.requests, work.tally.errors) == (11, 6)  # the client's own 4 left out
    assert work.inferences == 5
    tally = work.tally
    assert tally.answers == 4
    assert (tally.latency[0], tally.latency[-1]) == (2, 1)
    assert tally.above(16.0) == 1
    assert tally.above(0.25) == 2
    assert found.latency.sum == pytest.approx(100.3008)
    assert sum(found.inference.counts) == 1
    assert found.in_flight == 3
    assert found.memory_bytes > 1e7


def test_what_the_router_lost_is_added_to_what_the_servers_counted() -> None:
    served, lost = between(None, reading(success=5)).tally, between(None, lost_reading(2)).tally
    both = served + lost
    assert (both.requests, both.errors, both.latency) == (7, 2, served.latency)
    assert lost + served == both


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda text: text.replace("2.1.3", "2.2.0"), "2.2.0 answers"),
        (lambda text: "", "success"),
        (lambda text: text.replace('status="timeout"} 0.0', 'status="timeout"} NaN'), "nan"),
        (lambda text: text.replace('le="+Inf"', 'le="99"'), "not whole"),
        (lambda text: text.replace("model_process_memory_bytes{", "other{"), "memory"),
        (
            lambda text: re.sub(
                r'(model_request_duration_seconds_bucket{le="0.1".*}) 0.0', r"\1 7.0", text
            ),
            "falls",
        ),
        (lambda text: text.replace("model_version", "model_version\x00"), "."),
    ],
)
def test_numbers_of_another_version_or_half_a_page_are_refused(change, why: str) -> None:
    text = generate_latest(Metrics(*SERIES, "digest").registry).decode()
    changed = change(text)
    assert changed != text
    with pytest.raises(ValueError, match=why):
        parse(changed, SERIES)


def test_a_server_that_was_there_before_us_counts_from_the_first_look() -> None:
    looks = [
        InstanceReading(10, "a", False, reading(1000)),
        InstanceReading(11, "a", False, reading(1003, error=1)),
    ]
    assert total(looks[:1]) is None
    assert total(looks).tally.requests == 4


def test_a_server_that_appears_while_we_watch_counts_from_zero() -> None:
    looks = [
        InstanceReading(9, "a", False, reading(500)),
        InstanceReading(10, "a", False, reading(507)),
        InstanceReading(10, "b", True, reading(3)),
    ]
    assert total(looks).tally.requests == 10


def test_numbers_that_fall_are_those_of_a_new_start() -> None:
    looks = [
        InstanceReading(1, "a", False, reading(100)),
        InstanceReading(2, "a", False, reading(110)),
        InstanceReading(3, "a", False, reading(4, error=2)),
        InstanceReading(4, "a", False, reading(5, error=2)),
    ]
    assert total(looks).tally.requests == 17
    assert total(looks).tally.errors == 2


def test_a_look_before_the_window_only_tells_where_counting_starts() -> None:
    looks = [InstanceReading(t, "a", False, reading(10 * t)) for t in range(1, 6)]
    assert total(looks, since=3).tally.requests == 20


counts = st.tuples(*[st.integers(0, 20)] * 4)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), counts, st.booleans()), max_size=30),
    st.integers(0, 31),
)
def test_whatever_the_cut_two_stretches_sum_to_the_whole(steps, cut: int) -> None:
    """Against a second formula: the events themselves, which the test made."""
    state: dict[str, Reading] = {}
    looks, happened = [InstanceReading(0, name, False, reading()) for name in "abc"], [0, 0]
    for time, (name, (success, invalid, error, want_slow), want_again) in enumerate(steps, 1):
        before = state.get(name, reading())
        # A start that shows more than before everywhere cannot be told from going on.
        again = want_again and before.total > 0
        base = reading() if again else before
        slow = min(want_slow, success + error)
        after = Reading(
            tuple(
                a + b for a, b in zip(base.statuses, (success, invalid, 0, 0, error), strict=True)
            ),
            merge(base.latency, reading(success, 0, error, slow).latency)
            if any(base.latency.counts)
            else reading(success, 0, error, slow).latency,
            merge(base.inference, reading(success).inference)
            if any(base.inference.counts)
            else reading(success).inference,
            1e8,
            0,
        )
        if again and not _fell(before, after):
            continue
        state[name] = after
        looks.append(InstanceReading(time, name, False, after))
        happened = [happened[0] + success + error, happened[1] + error]
    parts = [
        work
        for since, part in (
            (0, [look for look in looks if look.time <= cut]),
            (cut, looks),
        )
        for _, work in increases(part, since)
    ]
    whole = together(parts) or Increase()
    assert [whole.tally.requests, whole.tally.errors] == happened
    assert whole.tally.answers == happened[0]


def _fell(before: Reading, after: Reading) -> bool:
    pairs = [(before.statuses, after.statuses), (before.latency.counts, after.latency.counts)]
    return any(b < a for one, other in pairs for a, b in zip(one, other, strict=True))


def test_servers_with_other_buckets_are_summed_in_those_that_both_know() -> None:
    one = Histogram((0.1, 0.5, 1.0), (1, 2, 3, 4), 5.0)
    other = Histogram((0.1, 0.2, 1.0, 2.0), (10, 20, 30, 40, 50), 7.0)
    assert merge(one, other) == Histogram((0.1, 1.0), (11, 55, 94), 12.0)
    assert merge(other, one) == merge(one, other)


@given(st.floats(0, 1e6), st.integers(1, 1000), st.floats(0.1, 100))
def test_the_end_of_a_window_is_its_own_and_its_start_is_not(since, number, width) -> None:
    assert window_of(since + number * width, since, width) == number - 1
    assert window_of(since + (number - 0.5) * width, since, width) == number - 1
    assert window_of(since + width * 1e-9, since, width) == 0


@settings(max_examples=5)
@given(st.sampled_from([0.0, -1.0, float("nan")]))
def test_a_window_without_a_width_is_refused(width: float) -> None:
    from facemodels.monitoring.metrics.source import windows

    with pytest.raises(InputError, match="window"):
        windows(None, SERIES, SERIES, 0, 10, width)

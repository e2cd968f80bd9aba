"""Counts of two versions over the same time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.bounded import examples

from facemodels.monitoring.metrics.windows import Tally, Window

BOUNDS = (0.1, 0.5, 1.0)
counts = st.integers(0, 10**6)
tallies = st.builds(
    lambda requests, errors, latency: Tally(requests, errors, BOUNDS, tuple(latency)),
    counts, counts, st.lists(counts, min_size=4, max_size=4),
)  # fmt: skip
nothing = Tally(0, 0)


@pytest.mark.parametrize(("seconds", "above"), [(0.1, 14), (0.5, 12), (1.0, 8)])
def test_above_a_bound_counts_the_buckets_that_lie_wholly_above_it(
    seconds: float, above: int
) -> None:
    assert Tally(15, 0, BOUNDS, (1, 2, 4, 8)).above(seconds) == above


def test_a_tally_without_latencies_has_no_answers() -> None:
    assert (nothing.answers, nothing.above(0.5)) == (0, 0)


@settings(max_examples=examples(200), deadline=None, derandomize=True)
@given(tallies, tallies, tallies)
def test_adding_keeps_every_count_in_any_order(one: Tally, two: Tally, three: Tally) -> None:
    both = one + two
    assert (both.requests, both.errors) == (one.requests + two.requests, one.errors + two.errors)
    assert both.answers == one.answers + two.answers
    for bound in BOUNDS:
        assert both.above(bound) == one.above(bound) + two.above(bound)
    assert both == two + one
    assert both + three == one + (two + three)


@settings(max_examples=examples(100), deadline=None, derandomize=True)
@given(tallies)
def test_adding_nothing_changes_nothing(one: Tally) -> None:
    assert one + nothing == nothing + one == one
    assert sum([one], nothing) == one


def test_tallies_of_other_buckets_are_not_added() -> None:
    with pytest.raises(ValueError, match="zip"):
        Tally(1, 0, BOUNDS, (1, 0, 0, 0)) + Tally(1, 0, (0.1,), (1, 0))


def test_the_wholly_lost_numbers_of_a_version_are_not_zero() -> None:
    window = Window(0.0, 5.0, canary=None, stable=nothing)
    assert window.canary is None
    assert window.stable == Tally(0, 0)
    assert window != Window(0.0, 5.0, canary=nothing, stable=nothing)

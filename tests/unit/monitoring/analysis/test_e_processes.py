"""The e-processes against second formulas, brute force and simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom, nchypergeom_fisher
from tests.bounded import examples

from facemodels.monitoring.analysis import e_processes
from facemodels.monitoring.analysis.e_processes import (
    BOLD,
    EVEN,
    FRACTIONS,
    ODDS,
    BettingEProcess,
    OddsEProcess,
)


@st.composite
def counts(draw):
    canary, stable = draw(st.integers(1, 30)), draw(st.integers(1, 60))
    return draw(st.integers(0, canary)), canary, draw(st.integers(0, stable)), stable


@settings(max_examples=examples(200), deadline=None)
@given(counts(), st.sampled_from(ODDS))
def test_ratio_agrees_with_scipys_noncentral_hypergeometric(window, odds):
    canary_errors, canary, stable_errors, stable = window
    both, errors = canary + stable, canary_errors + stable_errors
    expected = nchypergeom_fisher.logpmf(
        canary_errors, both, errors, canary, odds
    ) - hypergeom.logpmf(canary_errors, both, errors, canary)
    assert e_processes.log_odds_ratios(*window, [odds])[0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("odds", ODDS)
@pytest.mark.parametrize(("canary", "stable"), [(1, 1), (5, 45), (5, 5), (9, 3)])
def test_ratios_mean_is_one_when_both_fail_alike_and_less_when_the_canary_fails_less(
    canary, stable, odds
):
    for errors in range(1, canary + stable + 1):
        parts = range(max(0, errors - stable), min(errors, canary) + 1)
        ratios = [
            math.exp(e_processes.log_odds_ratios(part, canary, errors - part, stable, [odds])[0])
            for part in parts
        ]
        alike = hypergeom.pmf(parts, canary + stable, errors, canary)
        better = nchypergeom_fisher.pmf(parts, canary + stable, errors, canary, 0.5)
        assert np.dot(alike, ratios) == pytest.approx(1, abs=1e-9)
        assert np.dot(better, ratios) <= 1 + 1e-9


def test_a_thousand_errors_in_a_window_neither_overflow_nor_lose_digits():
    (got,) = e_processes.log_odds_ratios(900, 2000, 1600, 18000, [5.0])
    expected = nchypergeom_fisher.logpmf(900, 20000, 2500, 2000, 5.0) - hypergeom.logpmf(
        900, 20000, 2500, 2000
    )
    assert got == pytest.approx(expected, rel=1e-6)


def test_odds_process_keeps_its_mean_over_every_course_of_three_windows():
    canary, stable, errors = 3, 6, (2, 4, 1)  # by window; the chance of a failure may be anything
    mean = 0.0
    for parts in itertools.product(range(4), repeat=3):
        chance = np.prod([
            hypergeom.pmf(part, canary + stable, all_, canary)
            for part, all_ in zip(parts, errors, strict=True)
        ])  # fmt: skip
        if chance > 0:
            process = OddsEProcess()
            for part, all_ in zip(parts, errors, strict=True):
                process.add(part, canary, all_ - part, stable)
            mean += chance * math.exp(process.log_e)
    assert 0.5 < mean <= 1 + 1e-9


def test_bets_keep_their_mean_over_every_course_and_grow_outside_the_null():
    def mean(chance: float) -> float:
        total = 0.0
        for course in itertools.product((0, 1), repeat=8):  # y is 0.2 or -0.8
            process = BettingEProcess(0.8, BOLD)
            for failed in course:
                process.add(0.2 - failed)
            total += math.exp(process.log_e) * np.prod(
                [chance if failed else 1 - chance for failed in course]
            )
        return total

    assert mean(0.2) == pytest.approx(1, abs=1e-9)
    assert mean(0.4) < 1
    assert mean(0.02) > 2


def test_mixtures_are_shares_of_one_stake():
    assert sum(BOLD) == pytest.approx(1)
    assert sum(EVEN) == pytest.approx(1)
    assert len(BOLD) == len(EVEN) == len(FRACTIONS) == len(ODDS)
    assert max(FRACTIONS) < 1  # or one bad window would end all evidence for good


def test_one_window_alone_says_at_most_the_ceiling():
    process = OddsEProcess()
    process.add(50, 50, 0, 450)
    assert 0 < process.log_e <= e_processes.CEILING


@pytest.mark.parametrize("storms", [0.0, 0.1])
def test_odds_ever_reach_one_in_twenty_for_at_most_one_good_canary_in_twenty(storms):
    """Bursts that strike both alike are weather; the bound is met with the noise of 300 runs."""
    rng, reached = np.random.default_rng(4), 0
    for _ in range(300):
        process = OddsEProcess()
        for _ in range(60):
            chance = 0.5 if rng.random() < storms else 0.02
            process.add(
                int(rng.binomial(5, chance)), 5, int(rng.binomial(20, chance)), 20
            )  # fmt: skip
        reached += process.highest >= math.log(20)
    assert reached <= 0.05 * 300 + 3 * math.sqrt(300 * 0.05 * 0.95)


def test_bets_ever_reach_one_in_twenty_for_at_most_one_in_twenty_on_the_null():
    """Windows that fail as a whole: nothing is assumed of what goes on within one."""
    rng, reached = np.random.default_rng(5), 0
    for _ in range(1000):
        process = BettingEProcess(0.95, BOLD)
        for failed in rng.random(150) < 0.05:
            process.add(0.05 - failed)
        reached += process.highest >= math.log(20)
    assert reached <= 0.05 * 1000 + 3 * math.sqrt(1000 * 0.05 * 0.95)

"""Thresholds by false match rate."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facemodels.errors import InputError
from facemodels.recognition.error_rates.all_pairs import AllPairs, all_pairs, rates_at
from facemodels.system.calibration import Calibration, calibrate
from tests.bounded import examples


@pytest.fixture(scope="module")
def pairs() -> AllPairs:
    rng = np.random.default_rng(3)
    people = np.repeat(np.arange(40), 5)
    vectors = rng.normal(size=(40, 16))[people] + 0.6 * rng.normal(size=(200, 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return all_pairs(vectors, people)


@pytest.fixture(scope="module")
def calibration(pairs: AllPairs) -> Calibration:
    return calibrate(pairs)


@given(rate=st.floats(2e-4, 0.3))
@settings(max_examples=examples(50))
def test_no_more_impostors_are_accepted_than_were_asked_for(
    pairs: AllPairs, calibration: Calibration, rate: float
) -> None:
    threshold = calibration.threshold(rate)
    assert (pairs.impostor >= threshold).mean() <= rate  # counted, and not by the code under test


def test_the_threshold_of_a_rate_of_the_grid_is_not_stricter_than_it_must_be(
    pairs: AllPairs, calibration: Calibration
) -> None:
    for rate in (0.1, 0.01, 0.001):
        fnmr = rates_at(pairs, calibration.threshold(rate)).fnmr
        looser = np.sort(pairs.impostor)[::-1][int(rate * pairs.n_impostor)]
        assert fnmr == (pairs.genuine <= looser).mean()


def test_a_rate_that_the_pairs_cannot_show_is_refused(calibration: Calibration) -> None:
    with pytest.raises(InputError, match="rule of three"):
        calibration.threshold(1e-6)
    with pytest.raises(InputError, match=r"not in 0\.\.1"):
        calibration.threshold(1.5)


def test_the_rate_of_a_threshold_is_never_below_what_was_measured(
    pairs: AllPairs, calibration: Calibration
) -> None:
    for threshold in np.linspace(-1, 1, 41):
        assert calibration.fmr(float(threshold)) >= (pairs.impostor >= threshold).mean()


def test_a_calibration_survives_json(calibration: Calibration) -> None:
    text = json.dumps(calibration.as_json())
    assert Calibration.of_json(json.loads(text)) == calibration


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"rates": [], "thresholds": [], "impostor_pairs": 1},
        {"rates": [0.2, 0.1], "thresholds": [2, 1], "impostor_pairs": 9},
        {"rates": [0.1, 0.2], "thresholds": [1, 2], "impostor_pairs": 9},
        {"rates": [0.1], "thresholds": [], "impostor_pairs": 9},
        {"rates": 3, "thresholds": 4, "impostor_pairs": 9},
    ],
)
def test_a_damaged_calibration_is_refused(values: dict) -> None:
    with pytest.raises(InputError):
        Calibration.of_json(values)


def test_too_few_pairs_calibrate_nothing() -> None:
    few = all_pairs(np.eye(4)[[0, 0, 1, 1]], np.array([0, 0, 1, 1]))
    with pytest.raises(InputError, match="Calibrate on more people"):
        calibrate(few)

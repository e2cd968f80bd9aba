import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facemodels.errors import DataError, InputError
from facemodels.landmarks import metrics

ERRORS = st.lists(st.floats(0, 0.3), min_size=1, max_size=50)


def random_points(seed: int, n: int = 6):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 200, (n, 68, 2))
    return truth + rng.normal(0, 4, truth.shape), truth


def test_nme_agrees_with_the_formula_of_the_paper():
    predicted, truth = random_points(0)
    expected = []
    for face, true in zip(predicted, truth, strict=True):
        eyes = math.dist(true[36], true[45])
        expected.append(sum(math.dist(p, q) for p, q in zip(face, true, strict=True)) / (68 * eyes))
    np.testing.assert_allclose(metrics.nme(predicted, truth), expected, rtol=1e-13)


def test_nme_of_a_known_shift():
    truth = np.zeros((1, 68, 2))
    truth[0, 45] = (30, 40)  # 50 pixels from corner 36
    np.testing.assert_allclose(metrics.nme(truth + np.array([3, 4]), truth), [0.1])
    assert metrics.nme(truth, truth) == 0
    assert metrics.nme(np.zeros((0, 68, 2)), np.zeros((0, 68, 2))).shape == (0,)


@given(
    scale=st.floats(0.1, 10),
    angle=st.floats(-3, 3),
    shift=st.floats(-100, 100),
    seed=st.integers(0, 9),
)
def test_nme_ignores_position_size_and_turn(scale, angle, shift, seed):
    predicted, truth = random_points(seed)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = metrics.nme(predicted @ turn + shift, truth @ turn + shift)
    np.testing.assert_allclose(moved, metrics.nme(predicted, truth), rtol=1e-9)


@pytest.mark.parametrize("limit", [0.05, 0.08])
@pytest.mark.parametrize("seed", range(5))
def test_auc_agrees_with_integrating_the_ced(seed, limit):
    errors = np.random.default_rng(seed).gamma(4, 0.015, 200)
    curve = metrics.ced(errors, limit, points=200_001)
    area = np.trapezoid(curve.fractions, curve.errors) / limit
    assert metrics.auc(errors, limit) == pytest.approx(area, abs=1e-5)


@given(errors=ERRORS, limit=st.floats(0.01, 0.5))
def test_properties(errors, limit):
    curve = metrics.ced(errors, limit, points=33)
    area = metrics.auc(errors, limit)
    assert np.all(np.diff(curve.fractions) >= 0)
    assert 0 <= area <= curve.fractions[-1] + 1e-12  # the CED is below its end everywhere
    assert metrics.failure_rate(errors, limit) == pytest.approx(1 - curve.fractions[-1])
    # A larger error never helps, and order does not matter.
    worse = [error + 0.01 for error in errors]
    assert metrics.auc(worse, limit) <= area
    assert metrics.failure_rate(worse, limit) >= metrics.failure_rate(errors, limit)
    assert metrics.auc(errors[::-1], limit) == pytest.approx(area)


def test_the_ends_of_the_scale():
    assert metrics.auc([0.0, 0.0]) == 1
    assert metrics.auc([0.08, 0.5]) == 0
    # An error at the limit is not yet a failure, in the CED as in the rate.
    assert metrics.failure_rate([0.08, 0.0801]) == 0.5
    assert metrics.ced([0.08, 0.0801]).fractions[-1] == 0.5


def test_a_face_without_scale_is_named():
    predicted, truth = random_points(1)
    truth[4, 36] = truth[4, 45]
    with pytest.raises(DataError, match="Face 4"):
        metrics.nme(predicted, truth)


@pytest.mark.parametrize(
    ("predicted", "truth", "message"),
    [
        (np.zeros((2, 68, 2)), np.zeros((1, 68, 2)), "Predicted points"),
        (np.zeros((2, 5, 2)), np.zeros((2, 5, 2)), r"\(N, 68, 2\)"),
        (np.full((1, 68, 2), np.nan), np.zeros((1, 68, 2)), "not a finite number"),
    ],
)
def test_nme_refuses(predicted, truth, message):
    with pytest.raises(DataError, match=message):
        metrics.nme(predicted, truth)


@pytest.mark.parametrize("score", [metrics.auc, metrics.ced, metrics.failure_rate])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "at least one face"),
        ([-0.1], "negative"),
        ([np.nan], "not a finite"),
    ],
)
def test_errors_that_cannot_be_judged_are_refused(score, values, message):
    with pytest.raises(DataError, match=message):
        score(values)
    with pytest.raises(InputError, match="not above 0"):
        score([0.1], 0.0)

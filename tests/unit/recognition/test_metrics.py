from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.bounded import examples

from facemodels.errors import DataError, InputError
from facemodels.recognition import metrics


def random_pairs(seed: int, n: int = 200, levels: int = 0):
    """Scores (P,), same (P,), folds (P,); `levels` makes equal scores common."""
    rng = np.random.default_rng(seed)
    same = rng.random(n) < 0.5
    same[:2] = True, False
    scores = np.clip(rng.normal(np.where(same, 0.5, 0.1), 0.25), -1, 1)
    if levels:
        scores = np.round(scores * levels) / levels
    return scores, same, rng.permutation(np.arange(n) % 10).astype(np.int8)


def brute_threshold(scores, same):
    """Try every candidate; (most pairs right, the highest threshold that gets them)."""
    levels = sorted({float(s) for s in scores})
    middles = [low + (high - low) / 2 for low, high in pairwise(levels)]
    candidates = [levels[0], *middles, float(np.nextafter(levels[-1], np.inf))]
    return max(
        (sum((s >= t) == bool(y) for s, y in zip(scores, same, strict=True)), t) for t in candidates
    )


@pytest.mark.parametrize("levels", [0, 5])
@pytest.mark.parametrize("seed", range(3))
def test_kfold_agrees_with_a_plain_loop(seed, levels):
    scores, same, folds = random_pairs(seed, levels=levels)
    result = metrics.kfold_accuracy(scores, same, folds)

    accuracies = []
    for fold in range(10):
        _, threshold = brute_threshold(scores[folds != fold], same[folds != fold])
        assert result.thresholds[fold] == threshold
        right = [
            (s >= threshold) == y for s, y, f in zip(scores, same, folds, strict=True) if f == fold
        ]
        accuracies.append(sum(right) / len(right))
    mean = sum(accuracies) / 10
    variance = sum((p - mean) ** 2 for p in accuracies) / 9
    assert result.accuracies == pytest.approx(accuracies, abs=1e-15)
    assert result.mean == pytest.approx(mean, abs=1e-15)
    assert result.standard_error == pytest.approx((variance / 10) ** 0.5, abs=1e-15)
    assert result.correct[folds == 3].mean() == pytest.approx(result.accuracies[3])


@pytest.mark.parametrize("levels", [0, 4])
@pytest.mark.parametrize("seed", range(5))
def test_best_threshold_agrees_with_trying_all(seed, levels):
    scores, same, _ = random_pairs(seed, n=80, levels=levels)
    right, threshold = brute_threshold(scores, same)

    assert metrics.best_threshold(scores, same) == threshold
    assert metrics.rates_at(scores, same, threshold).accuracy == right / 80


def test_best_threshold_prefers_the_strictest():
    # Reject-all, and every other candidate, are right on half of the pairs.
    assert metrics.best_threshold([0.2, 0.2], [True, False]) == np.nextafter(0.2, 1)
    assert metrics.best_threshold([0.8, 0.2], [True, False]) == 0.5
    # Accept-all is best.
    assert metrics.best_threshold([0.8, 0.7, 0.9], [True, True, False]) == 0.7


def test_a_threshold_between_neighbouring_floats_still_parts_them():
    low = 0.5
    high = float(np.nextafter(low, 1))
    assert metrics.best_threshold([high, low], [True, False]) == high
    # float32 scores are parted in float64.
    pair = np.array([0.5, np.nextafter(np.float32(0.5), np.float32(1))], np.float32)
    # (NumPy would round the threshold to float32 if it were compared with one.)
    assert float(pair[0]) < metrics.best_threshold(pair, [False, True]) <= float(pair[1])


@pytest.mark.parametrize("levels", [0, 6])
@pytest.mark.parametrize("seed", range(5))
def test_roc_and_auc_agree_with_sklearn(seed, levels):
    from sklearn.metrics import roc_auc_score, roc_curve

    scores, same, _ = random_pairs(seed, levels=levels)
    far, tar, thresholds = roc_curve(same, scores, drop_intermediate=False)
    curve = metrics.roc(scores, same)

    np.testing.assert_allclose(curve.far, far, atol=1e-15)
    np.testing.assert_allclose(curve.tar, tar, atol=1e-15)
    np.testing.assert_array_equal(curve.thresholds[1:], thresholds[1:])
    assert metrics.auc(scores, same) == pytest.approx(roc_auc_score(same, scores), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_auc_is_the_chance_that_a_same_pair_outscores(seed):
    scores, same, _ = random_pairs(seed, levels=6)
    gap = scores[same][:, None] - scores[~same][None, :]
    assert metrics.auc(scores, same) == pytest.approx(np.mean((np.sign(gap) + 1) / 2), abs=1e-12)


@pytest.mark.parametrize("levels", [0, 6])
@pytest.mark.parametrize("seed", range(5))
def test_eer_agrees_with_a_root_search(seed, levels):
    from scipy.optimize import brentq

    scores, same, _ = random_pairs(seed, levels=levels)
    curve = metrics.roc(scores, same)
    along = np.arange(len(curve.far))  # walk the curve: far itself stands still on its risers

    def gap(at):
        return np.interp(at, along, curve.far) + np.interp(at, along, curve.tar) - 1

    expected = np.interp(brentq(gap, 0, along[-1], xtol=1e-13), along, curve.far)
    assert metrics.eer(scores, same) == pytest.approx(expected, abs=1e-10)


def test_eer_of_known_cases():
    assert metrics.eer([0.9, 0.8, 0.2, 0.1], [1, 1, 0, 0]) == 0
    assert metrics.eer([0.1, 0.2, 0.8, 0.9], [1, 1, 0, 0]) == 1
    assert metrics.eer([0.5, 0.5], [1, 0]) == 0.5


@pytest.mark.parametrize("far", [0.0, 0.01, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("levels", [0, 6])
def test_tar_at_far_agrees_with_trying_all_thresholds(far, levels):
    scores, same, _ = random_pairs(7, levels=levels)
    points = [(0.0, 2.0)]
    for threshold in np.unique(scores):
        rates = metrics.rates_at(scores, same, float(threshold))
        if rates.fpr <= far:
            points.append((rates.tpr, float(threshold)))
    point = metrics.tar_at_far(scores, same, far)

    assert point.tar == max(points)[0]
    assert point.far <= far
    assert point.threshold == min(max(points)[1], np.nextafter(scores.max(), 2))
    assert metrics.rates_at(scores, same, point.threshold).tpr == point.tar


@pytest.mark.parametrize("threshold", [-2.0, 0.0, 0.3, 2.0])
def test_rates_agree_with_sklearn(threshold):
    from sklearn import metrics as sk

    scores, same, _ = random_pairs(3)
    accepted = scores >= threshold
    rates = metrics.rates_at(scores, same, threshold)

    assert rates.precision == pytest.approx(sk.precision_score(same, accepted, zero_division=0))
    assert rates.recall == rates.tpr == pytest.approx(sk.recall_score(same, accepted))
    assert rates.fpr == pytest.approx(1 - sk.recall_score(~same, ~accepted))
    assert rates.f1 == pytest.approx(sk.f1_score(same, accepted, zero_division=0))
    assert rates.accuracy == pytest.approx(sk.accuracy_score(same, accepted))


@given(
    pairs=st.lists(st.tuples(st.integers(-20, 20), st.booleans()), min_size=2, max_size=40),
    far=st.floats(0, 1),
)
@settings(max_examples=examples(100), deadline=None)
def test_properties(pairs, far):
    scores = np.array([score for score, _ in pairs]) / 20
    same = np.array([label for _, label in pairs])
    assume(0 < same.sum() < len(same))
    curve = metrics.roc(scores, same)
    area = metrics.auc(scores, same)

    assert np.all(np.diff(curve.far) >= 0)
    assert np.all(np.diff(curve.tar) >= 0)
    assert (curve.far[0], curve.tar[0], curve.far[-1], curve.tar[-1]) == (0, 0, 1, 1)
    assert 0 <= metrics.eer(scores, same) <= 1
    assert metrics.tar_at_far(scores, same, far).far <= far
    assert (
        metrics.tar_at_far(scores, same, far).tar >= metrics.tar_at_far(scores, same, far / 2).tar
    )
    # Only the order of scores matters.
    bent = np.exp(2 * scores)
    assert metrics.auc(bent, same) == area
    assert metrics.eer(bent, same) == metrics.eer(scores, same)
    assert metrics.tar_at_far(bent, same, far).tar == metrics.tar_at_far(scores, same, far).tar
    # Turned round, the other kind of pair wins.
    assert metrics.auc(-scores, same) == pytest.approx(1 - area)
    # No threshold beats the chosen one, and it is never worse than the larger kind.
    best = metrics.rates_at(scores, same, metrics.best_threshold(scores, same)).accuracy
    assert best >= max(same.mean(), 1 - same.mean()) - 1e-12
    exact, _ = brute_threshold(scores, same)
    assert best == float(Fraction(exact, len(same)))


@pytest.mark.parametrize(
    ("scores", "same", "message"),
    [
        ([], [], "0 of one person and 0 of two"),
        ([0.1, 0.2], [True, True], "2 of one person and 0 of two"),
        ([0.1, 0.2], [False, False], "0 of one person and 2 of two"),
        ([0.1, np.nan], [True, False], "not a finite number"),
        ([0.1], [True, False], "Scores"),
    ],
)
@pytest.mark.parametrize(
    "score",
    [
        metrics.roc,
        metrics.auc,
        metrics.eer,
        metrics.best_threshold,
        lambda s, y: metrics.tar_at_far(s, y, 0.1),
        lambda s, y: metrics.rates_at(s, y, 0.1),
    ],
)
def test_pairs_that_cannot_be_judged_are_refused(score, scores, same, message):
    with pytest.raises(DataError, match=message):
        score(scores, same)


@pytest.mark.parametrize(
    ("same", "folds", "message"),
    [
        ([True, False, True, False], [0, 0, 0, 0], "one fold"),
        ([True, True, False, False], [0, 0, 1, 1], "outside of fold 0 are 0 of one person"),
        ([True, False, True, False], [0, 1], "folds of shape"),
    ],
)
def test_kfold_refuses(same, folds, message):
    with pytest.raises(DataError, match=message):
        metrics.kfold_accuracy([0.1, 0.2, 0.3, 0.4], same, folds)


def test_a_far_outside_of_its_range_is_refused():
    with pytest.raises(InputError, match=r"not in 0\.\.1"):
        metrics.tar_at_far([0.1, 0.2], [False, True], 1.5)

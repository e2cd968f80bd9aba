import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facemodels.errors import DataError, InputError
from facemodels.evaluate import bootstrap
from facemodels.evaluate.bootstrap import PairedDifference

FEW = {"resamples": 300, "seed": 3}


def mean_of(values):
    return lambda units: float(values[units].mean())


def difference_of_means(a, b, **options):
    metrics = mean_of(np.asarray(a)), mean_of(np.asarray(b))
    return bootstrap.paired_difference(*metrics, len(a), **options)


def second_formula(a, b, clusters, *, resamples, seed):
    """A mean over drawn clusters is the sum of their sums over the sum of their sizes."""
    labels = np.arange(len(a)) if clusters is None else clusters
    groups = [(a - b)[labels == label] for label in np.unique(labels)]
    sums, sizes = (np.array([f(group) for group in groups]) for f in (np.sum, len))
    draws = np.random.default_rng(seed).integers(0, len(groups), (resamples, len(groups)))
    means = sums[draws].sum(axis=1) / sizes[draws].sum(axis=1)
    return (a - b).mean(), *np.quantile(means, [0.025, 0.975])


def two_models(seed: int = 0, n: int = 60):
    rng = np.random.default_rng(seed)
    difficulty = rng.normal(0, 3, n)
    return difficulty + rng.normal(0.5, 1, n), difficulty + rng.normal(0, 1, n)


@pytest.mark.parametrize("clusters", [None, np.random.default_rng(1).integers(0, 20, 60) * 7])
def test_the_interval_agrees_with_a_formula_without_a_loop_over_draws(clusters):
    a, b = two_models()
    found = difference_of_means(a, b, clusters=clusters, **FEW)
    expected = second_formula(a, b, clusters, **FEW)
    assert (found.estimate, found.low, found.high) == pytest.approx(expected, abs=1e-12)


def test_the_chunk_size_does_not_change_the_draws(monkeypatch):
    a, b = two_models()
    whole = difference_of_means(a, b, **FEW)
    monkeypatch.setattr(bootstrap, "_DRAWS_AT_ONCE", 1000)
    assert difference_of_means(a, b, **FEW) == whole


@pytest.mark.parametrize("clustered", [False, True])
def test_coverage_is_about_nominal(clustered):
    rng = np.random.default_rng(5)
    n_clusters, size, true = 60, 5 if clustered else 1, 0.3
    clusters = np.repeat(np.arange(n_clusters), size)
    hits = 0
    for trial in range(300):
        # Units of one cluster share most of their noise.
        a = true + rng.normal(0, 1, n_clusters)[clusters] + rng.normal(0, 0.3, len(clusters))
        found = difference_of_means(
            a, np.zeros_like(a), resamples=300, seed=trial, confidence=0.9, clusters=clusters
        )
        hits += found.low <= true <= found.high
    # Four standard errors of a share around 0.9 in 300 trials are 0.07.
    assert 0.83 <= hits / 300 <= 0.97


def test_clusters_widen_the_interval_of_dependent_units():
    values = np.repeat(np.random.default_rng(0).normal(size=30), 10)
    zero = np.zeros_like(values)
    alone = difference_of_means(values, zero, **FEW)
    together = difference_of_means(values, zero, clusters=np.repeat(np.arange(30), 10), **FEW)
    assert together.estimate == alone.estimate
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_clusters_of_one_are_units():
    a, b = two_models()
    assert difference_of_means(a, b, clusters=np.arange(60), **FEW) == difference_of_means(
        a, b, **FEW
    )


def test_whole_clusters_are_drawn():
    clusters = np.array([2, 0, 2, 1, 1, 1])

    def check(units):
        counts = np.bincount(units, minlength=6)
        assert counts[0] == counts[2]
        assert counts[3] == counts[4] == counts[5]
        return float(len(units))

    found = bootstrap.interval(check, 6, clusters=clusters, **FEW)
    # Three draws of clusters of 1, 2 and 3 units.
    assert (found.estimate, found.low, found.high) == (6, 3, 9)


def test_the_interval_of_a_mean_agrees_with_the_normal_formula():
    values = np.random.default_rng(0).normal(0, 2, 400)
    found = bootstrap.interval(mean_of(values), 400, resamples=2000, seed=0)
    half = 1.96 * values.std(ddof=1) / 20
    assert found.estimate == values.mean()
    assert found.low == pytest.approx(values.mean() - half, abs=0.03)
    assert found.high == pytest.approx(values.mean() + half, abs=0.03)


def test_pairing_removes_what_both_models_share():
    a, b = two_models(n=200)
    paired = difference_of_means(a, b, **FEW)
    alone = bootstrap.interval(mean_of(a), 200, **FEW)
    assert paired.high - paired.low < 0.7 * (alone.high - alone.low)


@given(seed=st.integers(0, 1000), n=st.integers(2, 30))
@settings(max_examples=25, deadline=None)
def test_properties(seed, n):
    a, b = two_models(seed, n)
    few = {"resamples": 50, "seed": seed}
    found = difference_of_means(a, b, **few)
    swapped = difference_of_means(b, a, **few)
    order = np.random.default_rng(seed).permutation(n)
    shuffled = difference_of_means(a[order], b[order], **few)
    wider = difference_of_means(a, b, confidence=0.99, **few)

    assert found.low <= found.high
    assert swapped.estimate == pytest.approx(-found.estimate, abs=1e-12)
    assert swapped.low == pytest.approx(-found.high, abs=1e-12)
    assert swapped.high == pytest.approx(-found.low, abs=1e-12)
    assert shuffled.estimate == pytest.approx(found.estimate, abs=1e-12)
    assert wider.low <= found.low
    assert wider.high >= found.high
    # The same inputs give the same numbers, and a model does not differ from itself.
    assert difference_of_means(a, b, **few) == found
    assert difference_of_means(a, a, **few) == PairedDifference(0, 0, 0)


@pytest.mark.parametrize(
    ("low", "high", "higher_is_better", "expected"),
    [
        (0.1, 0.3, True, "better"),
        (0.1, 0.3, False, "worse"),
        (-0.3, -0.1, True, "worse"),
        (-0.3, -0.1, False, "better"),
        (-0.1, 0.1, True, "no difference shown"),
        (0.0, 0.1, True, "no difference shown"),
        (-0.1, 0.0, False, "no difference shown"),
        (0.0, 0.0, True, "no difference shown"),
    ],
)
def test_verdict(low, high, higher_is_better, expected):
    difference = PairedDifference(estimate=(low + high) / 2, low=low, high=high)
    assert bootstrap.verdict(difference, higher_is_better=higher_is_better) == expected


@pytest.mark.parametrize(
    ("n", "clusters", "message"),
    [
        (0, None, "0 independent units"),
        (1, None, "1 independent units"),
        (4, [7, 7, 7, 7], "1 independent units"),
        (4, [1, 2], "clusters of shape"),
    ],
)
def test_too_few_units_are_refused(n, clusters, message):
    values = np.zeros(n)
    with pytest.raises(DataError, match=message):
        bootstrap.interval(mean_of(values), n, clusters=clusters, **FEW)
    with pytest.raises(DataError, match=message):
        difference_of_means(values, values, clusters=clusters, **FEW)


@pytest.mark.parametrize(("resamples", "confidence"), [(0, 0.95), (10, 0.0), (10, 1.0)])
def test_settings_out_of_range_are_refused(resamples, confidence):
    with pytest.raises(InputError):
        difference_of_means([1, 2], [1, 2], resamples=resamples, seed=0, confidence=confidence)


def test_values_that_cannot_be_compared_are_refused():
    with pytest.raises(DataError, match="not finite on some resamples"):
        difference_of_means([1, np.nan], [1, 2], **FEW)
    with pytest.raises(DataError, match="not finite on some resamples"):
        bootstrap.interval(mean_of(np.full(5, np.nan)), 5, **FEW)

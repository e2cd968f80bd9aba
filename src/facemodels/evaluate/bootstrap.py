"""Confidence intervals of measured numbers: percentile bootstrap, paired for two models.

Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993: the
percentile interval (chapter 13) over units drawn with replacement. Two models
are judged on the same draws, so what makes a draw easy cancels out.

Units must be independent. Pairs of one person, faces of one image and frames of
one video are not: pass their person, image or video as `clusters`, and whole
clusters are drawn. A pair of two people belongs to two clusters: make people the units, and
let the metric weigh the pairs of those drawn (`recognition.error_rates.all_pairs`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facemodels.errors import DataError, InputError
from facemodels.evaluate.evaluation import Resampled

Metric = Callable[[NDArray[np.intp]], float]
Verdict = Literal["better", "worse", "no difference shown"]

_DRAWS_AT_ONCE = 2**20  # indices in memory at a time, 8 MiB


@dataclass(frozen=True)
class Interval:
    """A measured value and the confidence interval of it."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class PairedDifference:
    """The value of A less the value of B, and the confidence interval of that."""

    estimate: float
    low: float
    high: float


def interval(
    metric: Metric,
    n_units: int,
    *,
    resamples: int,
    seed: int,
    confidence: float = 0.95,
    clusters: ArrayLike | None = None,
) -> Interval:
    """Percentile interval of one model's metric.

    Args:
        metric: from unit indices (K,), with repeats, to a value. K is `n_units`,
            unless clusters differ in size.
        n_units: units (images, pairs, faces) that indices run over.
        resamples: number of draws; 1000 is the usual least for 95 %.
        seed: of the draws; equal seeds give equal draws.
        confidence: of the interval, 0..1.
        clusters: integer (n_units,), units that are drawn together.

    Raises:
        DataError: fewer than two independent units, clusters of another length,
            or a metric that is not finite.
        InputError: `resamples` or `confidence` is out of range.
    """
    values, low, high = _generic(
        (metric,), n_units, resamples=resamples, seed=seed, confidence=confidence, clusters=clusters
    )
    return Interval(estimate=values[0], low=low, high=high)


def interval_of(
    metric: Resampled, *, resamples: int, seed: int, confidence: float = 0.95
) -> Interval:
    """`interval` of a metric of an evaluation."""
    return interval(
        metric.score,
        metric.units,
        resamples=resamples,
        seed=seed,
        confidence=confidence,
        clusters=metric.clusters,
    )


def difference_of(
    a: Resampled, b: Resampled, *, resamples: int, seed: int, confidence: float = 0.95
) -> PairedDifference:
    """`paired_difference` of a metric of two evaluations on the same data."""
    return paired_difference(
        a.score,
        b.score,
        a.units,
        resamples=resamples,
        seed=seed,
        confidence=confidence,
        clusters=a.clusters,
    )


def paired_difference(
    metric_a: Metric,
    metric_b: Metric,
    n_units: int,
    *,
    resamples: int,
    seed: int,
    confidence: float = 0.95,
    clusters: ArrayLike | None = None,
) -> PairedDifference:
    """Percentile interval of A - B, both on the same draws.

    Arguments and errors as in `interval`; both metrics index the same units.
    """
    values, low, high = _generic(
        (metric_a, metric_b),
        n_units,
        resamples=resamples,
        seed=seed,
        confidence=confidence,
        clusters=clusters,
    )
    return PairedDifference(estimate=values[0] - values[1], low=low, high=high)


def verdict(difference: PairedDifference, *, higher_is_better: bool) -> Verdict:
    """Return what the interval of A - B says of A.

    An interval that holds 0, at its end too, shows no difference: that is not
    the same as showing that there is none.
    """
    if difference.low <= 0 <= difference.high:
        return "no difference shown"
    return "better" if (difference.low > 0) == higher_is_better else "worse"


@dataclass(frozen=True, eq=False)
class _Clusters:
    """The unit indices of C clusters, end to end.

    Attributes:
        members: intp (N,), unit indices, cluster by cluster.
        starts: intp (C,), where each cluster begins in `members`.
        sizes: intp (C,), units of each cluster.
    """

    members: NDArray[np.intp]
    starts: NDArray[np.intp]
    sizes: NDArray[np.intp]

    @classmethod
    def of(cls, n_units: int, clusters: ArrayLike | None) -> _Clusters:
        labels = np.arange(n_units) if clusters is None else np.asarray(clusters)
        if labels.shape != (n_units,):
            raise DataError(f"{n_units} units with clusters of shape {labels.shape}.")
        _, starts, sizes = np.unique(np.sort(labels), return_index=True, return_counts=True)
        if len(sizes) < 2:
            # One unit gives an interval of width 0, which would look certain.
            raise DataError(
                f"{len(sizes)} independent units; a bootstrap needs two.", "Evaluate on more data."
            )
        return cls(np.argsort(labels, kind="stable"), starts, sizes)

    def units(self, drawn: NDArray[np.intp]) -> NDArray[np.intp]:
        """Unit indices of the clusters drawn, (C,), one cluster after the other."""
        sizes = self.sizes[drawn]
        ends = np.cumsum(sizes)
        # Position in the result, shifted to where its cluster begins in members.
        shift = np.repeat(self.starts[drawn] - (ends - sizes), sizes)
        units: NDArray[np.intp] = self.members[np.arange(ends[-1]) + shift]
        return units


def _generic(
    metrics: tuple[Metric, ...],
    n_units: int,
    *,
    resamples: int,
    seed: int,
    confidence: float,
    clusters: ArrayLike | None,
) -> tuple[list[float], float, float]:
    """Values on all units, and the interval of the first metric less the others."""
    _check(resamples, confidence)
    groups = _Clusters.of(n_units, clusters)
    values = [metric(np.arange(n_units, dtype=np.intp)) for metric in metrics]
    results = []
    for draws in _draws(len(groups.sizes), resamples, seed):
        for drawn in draws:
            units = groups.units(drawn)
            first, *others = (metric(units) for metric in metrics)
            results.append(first - sum(others))
    if not (np.isfinite(results).all() and np.isfinite(values).all()):
        raise DataError(
            "The metric is not finite on some resamples.",
            "Evaluate on more data, or resample it by larger clusters.",
        )
    low, high = _percentiles(np.asarray(results), confidence)
    return values, low, high


def _draws(n_clusters: int, resamples: int, seed: int) -> Iterator[NDArray[np.intp]]:
    """Drawn cluster indices in chunks (R, C) with R adding up to `resamples`."""
    rng = np.random.default_rng(seed)
    rows = max(1, _DRAWS_AT_ONCE // n_clusters)
    for start in range(0, resamples, rows):
        size = (min(rows, resamples - start), n_clusters)
        yield rng.integers(0, n_clusters, size, dtype=np.intp)


def _percentiles(values: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def _check(resamples: int, confidence: float) -> None:
    if resamples < 1:
        raise InputError(f"{resamples} resamples.", "Draw at least one; 1000 is usual.")
    if not 0 < confidence < 1:
        raise InputError(f"A confidence of {confidence}.", "Give a share between 0 and 1.")

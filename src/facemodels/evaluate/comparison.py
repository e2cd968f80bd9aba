"""Two packages of a task side by side: accuracy on the same images, speed in the same run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from facemodels.errors import InputError
from facemodels.evaluate import bootstrap, speed
from facemodels.evaluate.evaluation import Evaluation
from facemodels.evaluate.measurements import Measurements
from facemodels.evaluate.stamp import require_same
from facemodels.package.load import Package
from facemodels.params import Compare

Metric = Literal["accuracy", "speed", "memory", "size"]
METRICS: tuple[Metric, ...] = ("accuracy", "speed", "memory", "size")
LATENCY = "latency_p50_ms"
MEASURED = (LATENCY, "peak_rss_mb", "file_size_mb")
_NOTHING: set[bootstrap.Verdict] = {"no difference shown"}
_NOTABLE = 0.05  # share by which memory or size must differ to be called better or worse


@dataclass(frozen=True)
class Row:
    """One metric of B against A.

    Attributes:
        metric: its name and unit.
        a: value of the first package.
        b: value of the second.
        difference: b - a.
        low: end of the confidence interval of the difference, or None where it is exact.
        high: likewise.
        verdict: of B against A.
        primary: whether the overall verdict looks at it.
        p_value: of a test that has no interval, or None.
    """

    metric: str
    a: float
    b: float
    difference: float
    low: float | None
    high: float | None
    verdict: bootstrap.Verdict
    primary: bool = True
    p_value: float | None = None


def compare_accuracy(a: Package, b: Package, measured: Measurements) -> list[Row]:
    """The metrics of the task that can be resampled, with paired bootstrap intervals.

    The first row is the primary metric, which alone decides the verdict: with many figures one
    would differ by chance. For verification the last row is McNemar's exact test over the pair
    list, which takes pairs as independent; the intervals resample people.

    Deterministic: same packages, data and seed give the same rows.

    Args:
        a: the first package.
        b: the second, of the same task.
        measured: evaluates them; its settings are those of the resamples, and say whether each
            model may have its own crop.

    Raises:
        DataError: the data has no such splits, or too little for an interval.
        InputError: the packages are of different tasks; or the stamps of their figures differ,
            be it in the crop alone where `settings.across_crops` is off.
    """
    if a.task != b.task:
        raise InputError(
            f"{a.id} is of {a.task}, {b.id} of {b.task}.", "Compare two models of one task."
        )
    names = (str(a.id), str(b.id))
    settings = measured.settings
    across = settings.across_crops or a.task == "system"  # whose crop is a part of it
    # What differs in the crop alone is refused before minutes are spent on measuring.
    crops = [{"crop": getattr(measured.predictor(p), "crop_name", "")} for p in (a, b)]
    require_same(crops[0], crops[1], names, across_crops=across)
    first, second = measured.evaluation(a), measured.evaluation(b)
    require_same(first.stamp, second.stamp, names, across_crops=across)
    others = sorted((first.resampled.keys() & second.resampled.keys()) - {first.primary})
    rows = [_paired(name, first, second, settings) for name in (first.primary, *others)]
    if first.correct is not None and second.correct is not None:
        rows.append(_mcnemar(first.correct, second.correct, settings))
    return rows


def _paired(name: str, first: Evaluation, second: Evaluation, settings: Compare) -> Row:
    """A metric with the bootstrap interval of its paired difference."""
    metric = first.resampled[name]
    difference = bootstrap.difference_of(
        second.resampled[name],
        metric,
        resamples=settings.resamples,
        seed=settings.seed,
        confidence=settings.confidence,
    )
    return Row(
        metric=name,
        a=first.metrics[name],
        b=second.metrics[name],
        difference=difference.estimate,
        low=difference.low,
        high=difference.high,
        verdict=bootstrap.verdict(difference, higher_is_better=metric.higher_is_better),
        primary=name == first.primary,
    )


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """p-value of McNemar's exact test on what two models judged right, bool (P,) each.

    The null hypothesis is that a pair which one model alone judges right is as likely the
    first's as the second's: a two-sided binomial test of those pairs. Source: McNemar, "Note on
    the sampling error of the difference between correlated proportions or percentages",
    Psychometrika 12, 1947; Dietterich, "Approximate Statistical Tests for Comparing Supervised
    Classification Learning Algorithms", Neural Computation 10, 1998.

    Returns:
        0..1; 1 where the models differ on no pair.
    """
    from scipy.stats import binomtest

    one, other = int((first & ~second).sum()), int((second & ~first).sum())
    return float(binomtest(other, one + other).pvalue) if one + other else 1.0


def _mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_], settings: Compare) -> Row:
    """How many pairs each model alone judges right, and whether that is more than chance."""
    one, other = int((first & ~second).sum()), int((second & ~first).sum())
    verdict: bootstrap.Verdict = "no difference shown"
    p = mcnemar(first, second)
    if p < 1 - settings.confidence:
        verdict = "better" if other > one else "worse"
    return Row(
        "pairs right alone", one, other, other - one, None, None, verdict, primary=False, p_value=p
    )


def interval(package: Package, measured: Measurements) -> tuple[Evaluation, Any]:
    """A single package's evaluation, and the bootstrap interval of its primary metric.

    Raises:
        DataError: the data has no splits val and test, or too little for an interval.
    """
    evaluation, settings = measured.evaluation(package), measured.settings
    own = bootstrap.interval_of(
        evaluation.resampled[evaluation.primary],
        resamples=settings.resamples,
        seed=settings.seed,
        confidence=settings.confidence,
    )
    return evaluation, own


def compare_speed(a: Package, b: Package, measured: Measurements) -> list[Row]:
    """Median latency of one image in ms, timed in turn in one run, with a paired interval.

    The units of the interval are runs. The row is of this machine and moment.
    """
    settings = measured.settings
    runs = [speed.workload(package.task, measured.predictor(package)) for package in (a, b)]
    first, second = speed.time_interleaved(*runs, warmup=settings.warmup, runs=settings.runs)
    pairs = np.array([first, second]) * 1e3
    difference = bootstrap.paired_difference(
        lambda units: float(np.median(pairs[1, units])),
        lambda units: float(np.median(pairs[0, units])),
        pairs.shape[1],
        resamples=settings.resamples,
        seed=settings.seed,
        confidence=settings.confidence,
    )
    return [
        Row(
            metric=LATENCY,
            a=float(np.median(pairs[0])),
            b=float(np.median(pairs[1])),
            difference=difference.estimate,
            low=difference.low,
            high=difference.high,
            verdict=bootstrap.verdict(difference, higher_is_better=False),
        )
    ]


def compare_memory(a: Package, b: Package, measured: Measurements) -> list[Row]:
    """Peak resident memory, MB of 10^6 bytes, of a process that serves each package: one row.

    No interval: more than five percent counts as a difference.
    """
    return [_plain("peak_rss_mb", *(measured.served(p)["peak_rss_mb"] for p in (a, b)))]


def compare_size(a: Package, b: Package) -> list[Row]:
    """Size of the file that is served, MB of 10^6 bytes: one row, exact."""
    return [_plain("file_size_mb", *(speed.file_size_mb(p, p.runtimes[0]) for p in (a, b)))]


def _plain(metric: str, a: float, b: float) -> Row:
    """A metric where less is better and noise is small: five percent tells."""
    verdict: bootstrap.Verdict = "no difference shown"
    if abs(b - a) > _NOTABLE * a:
        verdict = "better" if b < a else "worse"
    return Row(metric, a, b, b - a, None, None, verdict)


def overall(rows: list[Row]) -> bootstrap.Verdict:
    """The verdict on B: accuracy first; where it shows no difference, the rest if it agrees.

    Args:
        rows: of one comparison; those that are not primary have no say.
    """
    rows = [row for row in rows if row.primary]
    accuracy = {row.verdict for row in rows if row.metric not in MEASURED} - _NOTHING
    if accuracy:
        return accuracy.pop()
    verdicts = {row.verdict for row in rows} - _NOTHING
    return verdicts.pop() if len(verdicts) == 1 else "no difference shown"

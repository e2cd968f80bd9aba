"""Two packages of a task side by side: accuracy on the same images, speed in the same run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from facemodels.errors import InputError
from facemodels.evaluate import bootstrap, speed
from facemodels.evaluate.evaluation import Evaluation
from facemodels.evaluate.protocols import evaluate
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
    """

    metric: str
    a: float
    b: float
    difference: float
    low: float | None
    high: float | None
    verdict: bootstrap.Verdict


def compare_accuracy(a: Package, b: Package, data: Path, settings: Compare) -> list[Row]:
    """The primary metric of the task with a paired bootstrap interval, the others without.

    Deterministic: same packages, data and seed give the same rows.

    Raises:
        InputError: the packages are of different tasks.
    """
    if a.task != b.task:
        raise InputError(
            f"{a.id} is of {a.task}, {b.id} of {b.task}.", "Compare two models of one task."
        )
    first, second = (
        evaluate(package.task, package.predictor(threads=settings.threads), data)
        for package in (a, b)
    )
    metric = first.resampled[first.primary]
    difference = bootstrap.difference_of(
        second.resampled[first.primary],
        metric,
        resamples=settings.resamples,
        seed=settings.seed,
        confidence=settings.confidence,
    )
    return [
        Row(
            metric=first.primary,
            a=first.metrics[first.primary],
            b=second.metrics[first.primary],
            difference=difference.estimate,
            low=difference.low,
            high=difference.high,
            verdict=bootstrap.verdict(difference, higher_is_better=metric.higher_is_better),
        )
    ]


def interval(package: Package, data: Path, settings: Compare) -> tuple[Evaluation, Any]:
    """A single package's primary metric with its own bootstrap interval."""
    evaluation = evaluate(package.task, package.predictor(threads=settings.threads), data)
    own = bootstrap.interval_of(
        evaluation.resampled[evaluation.primary],
        resamples=settings.resamples,
        seed=settings.seed,
        confidence=settings.confidence,
    )
    return evaluation, own


def compare_speed(a: Package, b: Package, settings: Compare) -> list[Row]:
    """Median latency of one image, timed in turn in one run, with a paired interval."""
    runs = [
        speed.workload(package.task, package.predictor(threads=settings.threads))
        for package in (a, b)
    ]
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


def compare_memory(a: Package, b: Package, settings: Compare) -> list[Row]:
    """Peak resident memory of a process that serves each package."""
    peaks = [
        speed.measure_served(
            package, threads=settings.threads, warmup=settings.warmup, runs=settings.runs
        )["peak_rss_mb"]
        for package in (a, b)
    ]
    return [_plain("peak_rss_mb", *peaks)]


def compare_size(a: Package, b: Package) -> list[Row]:
    """Size of the file that is served."""
    return [_plain("file_size_mb", *(speed.file_size_mb(p, p.runtimes[0]) for p in (a, b)))]


def _plain(metric: str, a: float, b: float) -> Row:
    """A metric where less is better and noise is small: five percent tells."""
    verdict: bootstrap.Verdict = "no difference shown"
    if abs(b - a) > _NOTABLE * a:
        verdict = "better" if b < a else "worse"
    return Row(metric, a, b, b - a, None, None, verdict)


def overall(rows: list[Row]) -> bootstrap.Verdict:
    """The verdict on B: accuracy first; where it shows no difference, the rest if it agrees."""
    accuracy = {row.verdict for row in rows if row.metric not in MEASURED} - _NOTHING
    if accuracy:
        return accuracy.pop()
    verdicts = {row.verdict for row in rows} - _NOTHING
    return verdicts.pop() if len(verdicts) == 1 else "no difference shown"

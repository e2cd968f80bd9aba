"""The first runs of a model, made before the first client waits for one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb
from statistics import median
from typing import Any

import numpy as np
import structlog

from facemodels.models import predict
from facemodels.runtime import Batch, Graph, Run
from facemodels.serving.settings import Batching

_SIDE = 64  # pixels of the image that warms a model without a graph
_GAIN = 1.05  # images a second of a full batch, over those one by one, from which batching pays
_CONFIDENCE = 0.98  # of the interval of the gain
_SINGLES = 3  # single rows beside each full batch; the quickest counts
_MOST_TRIALS = 60
_TRIAL_S = 4.0  # for all of them


@dataclass(frozen=True)
class BatchingGain:
    """How many times as many rows a second a full batch gives as single rows.

    Attributes:
        estimate: the median of the trials.
        low: the lower end of its interval; 0 where the trials are too few for one.
        high: the upper end; infinite likewise.
        trials: how many there were.
    """

    estimate: float
    low: float
    high: float
    trials: int

    @property
    def pays(self) -> bool | None:
        """Whether batching pays; None where the trials do not show it."""
        if self.low >= _GAIN:
            return True
        return False if self.high < _GAIN else None


def warm_predictor(task: str, predictor: Any) -> None:
    """Run a model without a graph once."""
    predict(task, predictor, [np.zeros((_SIDE, _SIDE, 3), np.uint8)])


def warm_graph(graph: Graph, settings: Batching) -> Batching:
    """Run a graph once for each usual number of rows, since the first run allocates.

    Then full batches are timed against single rows until it is sure which is quicker.

    Returns:
        The settings, with one row a run unless batching surely pays.
    """
    for rows in sorted({1, 2, settings.rows}):
        graph.run(_zeros(graph, rows))
    if settings.rows == 1:
        return settings
    gain = batching_gain(graph.run, _zeros(graph, settings.rows))
    chosen = settings if gain.pays else settings.model_copy(update={"rows": 1})
    structlog.get_logger("facemodels.serving").info(
        "batching",
        rows=chosen.rows,
        gain=round(gain.estimate, 2),
        interval=[round(gain.low, 2), round(gain.high, 2)] if gain.low else None,
        trials=gain.trials,
        sure=gain.pays is not None,
    )
    return chosen


def batching_gain(
    run: Run, batch: Batch, *, clock: Callable[[], float] = time.perf_counter
) -> BatchingGain:
    """Measure the gain of full batches until it is surely above or below what pays.

    Other work on a machine disturbs single trials by a third, so no trial counts alone: the
    interval of the median assumes nothing of how the disturbance is distributed.
    """
    begin = clock()
    ratios: list[float] = []
    while True:
        single = min(_timed(run, batch[:1], clock) for _ in range(_SINGLES))
        ratios.append(single * len(batch) / max(_timed(run, batch, clock), 1e-9))
        low, high = median_interval(ratios, _CONFIDENCE)
        gain = BatchingGain(median(ratios), low, high, len(ratios))
        tired = len(ratios) >= _MOST_TRIALS or clock() - begin > _TRIAL_S
        if gain.pays is not None or tired:
            return gain


def median_interval(values: Sequence[float], confidence: float) -> tuple[float, float]:
    """The interval of the median by order statistics (Conover, Practical Nonparametric Statistics).

    Args:
        values: independent measurements.
        confidence: the least probability that the interval holds the median, 0 to 1.

    Returns:
        Its ends; 0 and infinity if the values are too few.
    """
    count, outside, skipped = len(values), 0.0, 0
    while skipped < count // 2:
        outside += 2 * comb(count, skipped) / 2**count
        if outside > 1 - confidence:
            break
        skipped += 1
    if not skipped:
        return 0.0, float("inf")
    ordered = sorted(values)
    return ordered[skipped - 1], ordered[count - skipped]


def _timed(run: Run, batch: Batch, clock: Callable[[], float]) -> float:
    start = clock()
    run(batch)
    return clock() - start


def _zeros(graph: Graph, rows: int) -> Batch:
    return np.zeros((rows, *graph.input_shape), np.float32)

"""The first runs of a model, made before the first client waits for one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import structlog

from facemodels.models import predict
from facemodels.runtime import Batch, Graph, Run
from facemodels.serving.settings import Batching

_SIDE = 64  # pixels of the image that warms a model without a graph
_GAIN = 1.05  # images a second of a full batch, over those one by one, from which batching pays
_TRIALS = 5
_TRIAL_S = 0.5  # for all of them; at least one is made


def warm_predictor(task: str, predictor: Any) -> None:
    """Run a model without a graph once."""
    predict(task, predictor, [np.zeros((_SIDE, _SIDE, 3), np.uint8)])


def warm_graph(graph: Graph, settings: Batching) -> Batching:
    """Run a graph once for each usual number of rows, since the first run allocates.

    Then a full batch is timed against single rows.

    Returns:
        The settings, with one row a run where batching brings nothing.
    """
    for rows in sorted({1, 2, settings.rows}):
        graph.run(_zeros(graph, rows))
    if settings.rows == 1:
        return settings
    gain = batching_gain(graph.run, _zeros(graph, settings.rows))
    chosen = settings if gain >= _GAIN else settings.model_copy(update={"rows": 1})
    structlog.get_logger("facemodels.serving").info(
        "batching", rows=chosen.rows, gain=round(gain, 2)
    )
    return chosen


def batching_gain(
    run: Run, batch: Batch, *, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Return how many times as many rows a second `run` makes of a batch as of single rows.

    The quickest of a few trials counts on both sides, since what else runs on a machine
    only adds to a time.
    """
    begin = clock()
    single: list[float] = []
    together: list[float] = []
    while not single or (len(single) < _TRIALS and clock() - begin < _TRIAL_S):
        for rows, taken in ((batch[:1], single), (batch, together)):
            start = clock()
            run(rows)
            taken.append(clock() - start)
    return float(min(single) * len(batch) / min(together))


def _zeros(graph: Graph, rows: int) -> Batch:
    return np.zeros((rows, *graph.input_shape), np.float32)

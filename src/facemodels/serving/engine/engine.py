"""A package ready to predict: its predictor, the batcher under it, threads for the rest."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import structlog
from numpy.typing import NDArray

from facemodels.models import served
from facemodels.package.load import Package
from facemodels.package.verify import ONNX
from facemodels.runtime import Batch, Run
from facemodels.serving.engine import graph
from facemodels.serving.engine.batcher import Batcher
from facemodels.serving.engine.graph import Graph
from facemodels.serving.metrics import Metrics
from facemodels.serving.settings import Batching, Serving

Result = TypeVar("Result")
_SIDE = 64  # pixels of the image that warms a model without a graph
_GAIN = 1.05  # images a second of a full batch, over those one by one, from which batching pays
_TRIALS = 5
_TRIAL_S = 0.5  # for all of them; at least one is made


class Engine:
    """One package, loaded.

    Args:
        package: verified.
        settings: of the server.
        threads: of the graph.
        metrics: told of every run.

    Attributes:
        package: what is served.
        settings: of the server.
        predictor: of the task, for images.
        graph: under the predictor; None for a model that has none.
    """

    def __init__(
        self, package: Package, settings: Serving, *, threads: int, metrics: Metrics
    ) -> None:
        self.package = package
        self.settings = settings
        self._pool = ThreadPoolExecutor(settings.workers, "worker")
        self._waited = _Waited()
        self._batcher: Batcher | None = None
        self.graph: Graph | None = None
        if package.runtimes[0] == "onnx":
            self.graph = graph.load(package.folder / ONNX, threads=threads)
            batching = _warm(self.graph, settings.batching)
            self._batcher = Batcher(self.graph.run, batching, observe=metrics.ran)
            self.predictor = served(package.task, self._batcher, package.config, package.metadata)
        else:
            own = package.predictor(threads=threads)
            image, box = np.zeros((_SIDE, _SIDE, 3), np.uint8), [[0, 0, _SIDE, _SIDE]]
            own.fit([image], np.array(box, np.float32))
            self.predictor = _Observed(own, metrics, self._waited)

    async def run(self, batch: Batch) -> Batch:
        """Rows of the graph's output, for rows of its input float32 (N, 3, H, W)."""
        assert self._batcher is not None  # noqa: S101  (the API refuses it before)
        return await asyncio.wrap_future(self._batcher.submit(batch))

    async def work(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function in a thread, so that the server goes on listening."""
        asked = time.perf_counter()

        def call() -> Result:
            self._waited.seconds = time.perf_counter() - asked
            return function(*arguments)

        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    def close(self) -> None:
        """Finish what is in work and end all threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._batcher is not None:
            self._batcher.close()


class _Waited(threading.local):
    """How long what a thread of the pool is at had waited for a thread."""

    seconds = 0.0


class _Observed:
    """A predictor without a graph, which tells of every call as the batcher tells of its runs."""

    def __init__(self, predictor: Any, metrics: Metrics, waited: _Waited) -> None:
        self._predictor = predictor
        self._metrics = metrics
        self._waited = waited

    def fit(
        self, images: Sequence[NDArray[np.uint8]], boxes: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Points float32 (N, 68, 2) of one face an image; see LandmarkModel."""
        start = time.perf_counter()
        points: NDArray[np.float32] = self._predictor.fit(images, boxes)
        self._metrics.ran(len(images), time.perf_counter() - start, self._waited.seconds)
        return points


def _warm(loaded: Graph, settings: Batching) -> Batching:
    """Warm a graph, and switch batching off where it brings nothing.

    The first run of a shape allocates; no client shall wait for that. Then a full batch is timed
    against single rows.
    """
    for rows in sorted({1, 2, settings.rows}):
        loaded.run(_zeros(loaded, rows))
    if settings.rows == 1:
        return settings
    gain = batching_gain(loaded.run, _zeros(loaded, settings.rows))
    chosen = settings if gain >= _GAIN else settings.model_copy(update={"rows": 1})
    structlog.get_logger("facemodels.serving").info(
        "batching", rows=chosen.rows, gain=round(gain, 2)
    )
    return chosen


def _zeros(loaded: Graph, rows: int) -> Batch:
    return np.zeros((rows, *loaded.input_shape), np.float32)


def batching_gain(
    run: Run, batch: Batch, *, clock: Callable[[], float] = time.perf_counter
) -> float:
    """How many times as many rows a second `run` makes of a batch as of its rows one by one.

    The quickest of a few trials counts on both sides: what else runs on a machine only adds.
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

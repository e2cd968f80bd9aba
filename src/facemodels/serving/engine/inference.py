"""A package that is ready to predict: its predictor, its batcher, and threads for the rest."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from facemodels.models import served
from facemodels.package.load import Package
from facemodels.package.verify import ONNX
from facemodels.runtime import Batch, Graph, open_graph
from facemodels.serving.engine.batcher import Batcher
from facemodels.serving.engine.observed import ObservedPredictor, WaitingTime
from facemodels.serving.engine.warm_up import warm_graph, warm_predictor
from facemodels.serving.heartbeat import Activity
from facemodels.serving.metrics import Metrics
from facemodels.serving.settings import Serving

Result = TypeVar("Result")


class Engine:
    """One package, loaded and warm.

    Args:
        package: the verified package.
        settings: the settings of the server.
        threads: the threads of the model.
        metrics: are told of every run.

    Attributes:
        package: the package that is served.
        settings: the settings of the server.
        predictor: the predictor of the package's task, for images.
        graph: the ONNX graph under the predictor; None for a model that has none.
        activity: whether work goes on, for the heartbeat.
    """

    def __init__(
        self, package: Package, settings: Serving, *, threads: int, metrics: Metrics
    ) -> None:
        self.package = package
        self.settings = settings
        self._pool = ThreadPoolExecutor(settings.workers, "worker")
        self._waited = WaitingTime()
        self.activity = Activity()
        self._batcher: Batcher | None = None
        self.graph: Graph | None = None
        if package.runtimes[0] == "onnx":
            self.graph = open_graph(package.folder / ONNX, threads=threads)
            batching = warm_graph(self.graph, settings.batching)
            self._batcher = Batcher(
                self.graph.run, batching, observe=metrics.ran, activity=self.activity
            )
            self.predictor = served(package.task, self._batcher, package.config, package.metadata)
        else:
            predictor = package.predictor(threads=threads)
            warm_predictor(package.task, predictor)
            self.predictor = ObservedPredictor(predictor, metrics.ran, self._waited)

    async def run(self, batch: Batch) -> Batch:
        """Return rows of the graph's output, for rows of its input float32 (N, 3, H, W)."""
        assert self._batcher is not None  # noqa: S101  (the API refuses it before)
        return await asyncio.wrap_future(self._batcher.submit(batch))

    async def work(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function in a thread, so that the server goes on listening."""
        asked = time.perf_counter()

        def call() -> Result:
            self._waited.seconds = time.perf_counter() - asked
            with self.activity:
                return function(*arguments)

        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    def close(self) -> None:
        """Finish what is in work and end all threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._batcher is not None:
            self._batcher.close()

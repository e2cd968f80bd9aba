"""A package ready to predict: its predictor, the batcher under it, threads for the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from facemodels.models import served
from facemodels.package.load import Package
from facemodels.package.verify import ONNX
from facemodels.runtime import Batch
from facemodels.serving import graph
from facemodels.serving.batcher import Batcher
from facemodels.serving.graph import Graph
from facemodels.serving.metrics import Metrics
from facemodels.serving.settings import Serving

Result = TypeVar("Result")
_SIDE = 64  # pixels of the image that warms a model without a graph


class Engine:
    """One package, loaded.

    Args:
        package: verified.
        settings: of the server.
        threads: of the graph.
        metrics: told of every run.

    Attributes:
        package: what is served.
        predictor: of the task, for images.
        graph: under the predictor; None for a model that has none.
    """

    def __init__(
        self, package: Package, settings: Serving, *, threads: int, metrics: Metrics
    ) -> None:
        self.package = package
        self.settings = settings
        self._metrics = metrics
        self._pool = ThreadPoolExecutor(settings.workers, "worker")
        self._batcher: Batcher | None = None
        self.graph: Graph | None = None
        if package.runtimes[0] == "onnx":
            self.graph = graph.load(package.folder / ONNX, threads=threads)
            self._warm_graph(self.graph)
            self._batcher = Batcher(self.graph.run, settings.batching, observe=metrics.ran)
            self.predictor = served(package.task, self._batcher, package.config, package.metadata)
        else:
            self.predictor = package.predictor(threads=threads)
            self._warm_native()

    def _warm_graph(self, loaded: Graph) -> None:
        """The first run of a shape allocates; no client shall wait for that."""
        for rows in sorted({1, 2, self.settings.batching.rows}):
            loaded.run(np.zeros((rows, *loaded.input_shape), np.float32))

    def _warm_native(self) -> None:
        image = np.zeros((_SIDE, _SIDE, 3), np.uint8)
        self.predictor.fit([image], np.array([[0, 0, _SIDE, _SIDE]], np.float32))

    async def run(self, batch: Batch) -> Batch:
        """Rows of the graph's output, for rows of its input float32 (N, 3, H, W)."""
        assert self._batcher is not None  # noqa: S101  (the API refuses it before)
        return await asyncio.wrap_future(self._batcher.submit(batch))

    async def work(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function in a thread, so that the server goes on listening."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)

    def close(self) -> None:
        """Finish what is in work and end all threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._batcher is not None:
            self._batcher.close()

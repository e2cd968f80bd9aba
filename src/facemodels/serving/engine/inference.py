"""A package that is ready to predict: its predictor, its batcher, and threads for the rest."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

from facemodels.models import served
from facemodels.package.load import Package
from facemodels.package.verify import ONNX
from facemodels.runtime import Batch, Graph, open_graph
from facemodels.serving.engine.batcher import Batcher
from facemodels.serving.engine.budget import MemoryBudget
from facemodels.serving.engine.observed import ObservedPredictor, WaitingTime
from facemodels.serving.engine.warm_up import warm_graph, warm_predictor
from facemodels.serving.heartbeat import Activity
from facemodels.serving.metrics import Metrics
from facemodels.serving.settings import Serving

Result = TypeVar("Result")
_NICE = 10


class AbandonedError(Exception):
    """Nobody waits for what a thread works on any more."""


class _Call:
    """One call in a thread of a pool."""

    wanted = True


def _step_back() -> None:
    """Let a thread take a processor only where no other thread of ours wants it, nearly.

    It decodes large pictures and reads long JSON: what it works on takes long anyway, and small
    requests, the event loop and the graph go first. Linux keeps this number for each thread.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


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
        limits = settings.limits
        self._pool = ThreadPoolExecutor(settings.workers, "worker")
        self._large_pool = ThreadPoolExecutor(settings.workers, "large", _step_back)
        self._lone_pool = ThreadPoolExecutor(1, "alone", _step_back)
        self._budget = MemoryBudget(
            limits.decoded_bytes,
            threads=settings.workers,
            queue=max(1, limits.queue // 4),
            patience_s=limits.deadline_s / 2,
        )
        self._current = threading.local()
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
        return await self._in_thread(self._pool, function, *arguments)

    async def work_alone(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function in a thread, one such call at a time.

        It is for what holds the interpreter's lock for long, as parsers of JSON do: several of
        them at once would keep the event loop from answering.
        """
        return await self._in_thread(self._lone_pool, function, *arguments)

    async def work_within_memory(
        self, prepare: Callable[[], tuple[int, Callable[[], Result]]]
    ) -> Result:
        """Call a function that needs memory in a thread, when there is as much.

        Args:
            prepare: is called in a thread; returns the bytes that are needed and the function.

        Raises:
            TooMuchMemoryError: there will never be so much.
            NoMemoryLeftError: there is not so much now, nor soon.
        """

        def begin() -> tuple[Result | None, int, Callable[[], Result]]:
            needed, go = prepare()
            small = needed <= self._budget.small
            return (go() if small else None), (0 if small else needed), go

        done, needed, go = await self._in_thread(self._pool, begin)
        if not needed:
            return cast(Result, done)
        async with self._budget.reserved(needed):
            return await self._in_thread(self._large_pool, go)

    async def _in_thread(
        self, pool: ThreadPoolExecutor, function: Callable[..., Result], *arguments: Any
    ) -> Result:
        asked = time.perf_counter()
        call = _Call()

        def work() -> Result:
            self._waited.seconds = time.perf_counter() - asked
            self._current.call = call
            with self.activity:
                return function(*arguments)

        try:
            return await asyncio.get_running_loop().run_in_executor(pool, work)
        except asyncio.CancelledError:
            call.wanted = False
            raise

    def require_wanted(self) -> None:
        """Raise in a thread of `work` if nobody waits for its result any more.

        Raises:
            AbandonedError: the client has left, or the deadline has passed.
        """
        call: _Call | None = getattr(self._current, "call", None)
        if call is not None and not call.wanted:
            raise AbandonedError

    @property
    def large_requests(self) -> int:
        """Requests with large pictures that are in work or wait for memory."""
        return self._budget.large

    def close(self) -> None:
        """Finish what is in work and end all threads."""
        for pool in (self._pool, self._large_pool, self._lone_pool):
            pool.shutdown(wait=True, cancel_futures=True)
        if self._batcher is not None:
            self._batcher.close()

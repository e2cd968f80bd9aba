"""One thread runs the graph, and requests that wait at the same moment share one run.

By default no request waits for others: while one run is on, requests queue, and the next run
takes them in the order of arrival. An idle server therefore answers a single request at once,
and a busy one makes larger batches, which a graph computes faster than the same images one by
one. Rows do not influence each other: the outputs are the same to the last bit.

A request of more rows than a run takes is run in parts, and between two parts those are run that
fit into one, so that clients with long requests do not keep the others waiting.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from facemodels.runtime import Batch, Run
from facemodels.serving.heartbeat import Activity
from facemodels.serving.settings import Batching


@dataclass(slots=True)
class _Job:
    batch: Batch
    future: Future[Batch] = field(default_factory=Future)
    since: float = field(default_factory=time.perf_counter)
    outputs: list[Batch] = field(default_factory=list)  # of the parts that have run


class Batcher:
    """Runs the batches of all callers in a thread of its own.

    Args:
        run: turns float32 (N, ...) into float32 (N, ...), row by row, whatever N.
        settings: the most rows of a run, and how long to wait for them.
        observe: is called after every run, before its callers get their outputs, with the
            rows, the seconds it took and the seconds its first job had waited.
        activity: is told of each run.
    """

    def __init__(
        self,
        run: Run,
        settings: Batching,
        *,
        observe: Callable[[int, float, float], None] = lambda rows, took, waited: None,
        activity: Activity | None = None,
    ) -> None:
        self._run = run
        self._settings = settings
        self._observe = observe
        self._activity = activity or Activity()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        # What the thread has taken from the queue: jobs of one run, and of several.
        self._short: deque[_Job] = deque()
        self._long: deque[_Job] = deque()
        self._last = False  # whether nothing more comes
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._thread.start()

    def submit(self, batch: Batch) -> Future[Batch]:
        """Queue a batch for a run; if its future is cancelled before that, it is not run.

        Raises:
            RuntimeError: the batcher is closed.
        """
        job = _Job(batch)
        with self._closing:  # no job may follow the end mark of the queue: it would never run
            if self._closed:
                raise RuntimeError("the batcher is closed")
            self._jobs.put(job)
        return job.future

    def __call__(self, batch: Batch) -> Batch:
        """Run a batch and wait for it: a `Run` as predictors take it."""
        return self.submit(batch).result()

    def close(self) -> None:
        """Finish what was submitted, and end the thread."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while True:
            self._take_in(wait=not (self._short or self._long))
            if self._short:
                self._finish(self._gather())
            if self._long:
                self._go_on(self._long[0])
            if self._last and not (self._short or self._long):
                return

    def _take_in(self, *, wait: bool) -> None:
        """Sort what was submitted; without other work, wait for it."""
        while not self._last:
            try:
                self._sort(self._jobs.get(block=wait))
            except queue.Empty:
                return
            wait = False

    def _sort(self, job: _Job | None) -> None:
        if job is None:
            self._last = True
        else:
            (self._short if len(job.batch) <= self._settings.rows else self._long).append(job)

    def _gather(self) -> list[_Job]:
        """The jobs of the next run, which may wait for more of them."""
        jobs, rows, most = [], 0, self._settings.rows
        until = time.perf_counter() + self._settings.wait_ms / 1e3
        while True:
            while self._short and rows + len(self._short[0].batch) <= most:
                job = self._short.popleft()
                if job.future.set_running_or_notify_cancel():
                    jobs.append(job)
                    rows += len(job.batch)
            left = until - time.perf_counter()
            if self._short or self._last or not 0 < rows < most or left <= 0:
                return jobs
            try:
                self._sort(self._jobs.get(timeout=left))
            except queue.Empty:
                return jobs

    def _finish(self, jobs: list[_Job]) -> None:
        """Run the jobs and give every one of their callers the output or the error."""
        if not jobs:
            return
        inputs = [job.batch for job in jobs]
        try:
            batch = inputs[0] if len(inputs) == 1 else np.concatenate(inputs)
            output = self._run_once(batch, jobs[0].since)
        except BaseException as error:  # noqa: BLE001  (whoever waits must hear of it)
            for job in jobs:
                job.future.set_exception(error)
            return
        row = 0
        for job in jobs:
            job.future.set_result(output[row : row + len(job.batch)])
            row += len(job.batch)

    def _go_on(self, job: _Job) -> None:
        """Run the next part of a long job, so that its memory is bounded by that of one run."""
        if not job.outputs and not job.future.set_running_or_notify_cancel():
            self._long.popleft()
            return
        most = self._settings.rows
        row = most * len(job.outputs)
        try:
            job.outputs.append(self._run_once(job.batch[row : row + most], job.since))
            output = np.concatenate(job.outputs) if row + most >= len(job.batch) else None
        except BaseException as error:  # noqa: BLE001  (likewise)
            self._long.popleft()
            job.future.set_exception(error)
            return
        if output is not None:
            self._long.popleft()
            job.future.set_result(output)

    def _run_once(self, batch: Batch, since: float) -> Batch:
        start = time.perf_counter()
        with self._activity:
            output = self._run(batch)
        self._observe(len(batch), time.perf_counter() - start, start - since)
        if len(output) != len(batch):
            raise RuntimeError(f"the graph made {len(output)} rows of {len(batch)}")
        return output

"""One thread runs the graph, and requests that wait at the same moment share one run.

By default no request waits for others: while one run is on, requests queue, and the next run
takes them in the order of arrival. An idle server therefore answers a single request at once,
and a busy one makes larger batches, which a graph computes faster than the same images one by
one. Rows do not influence each other: the outputs are the same to the last bit.
"""

from __future__ import annotations

import queue
import threading
import time
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
        held: _Job | None = None
        while True:
            first = held or self._jobs.get()
            if first is None:
                return
            held = None
            if not first.future.set_running_or_notify_cancel():
                continue
            jobs, held, last = self._gather(first)
            self._finish(jobs)
            if last:
                return

    def _gather(self, first: _Job) -> tuple[list[_Job], _Job | None, bool]:
        """Return the jobs of the next run, the job that did not fit, and whether to end."""
        jobs, rows = [first], len(first.batch)
        until = time.perf_counter() + self._settings.wait_ms / 1e3
        while rows < self._settings.rows:
            try:
                left = until - time.perf_counter()
                job = self._jobs.get(timeout=left) if left > 0 else self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                return jobs, None, True
            if rows + len(job.batch) > self._settings.rows:
                return jobs, job, False
            if job.future.set_running_or_notify_cancel():
                jobs.append(job)
                rows += len(job.batch)
        return jobs, None, False

    def _finish(self, jobs: list[_Job]) -> None:
        """Run the jobs and give every one of their callers the output or the error."""
        inputs = [job.batch for job in jobs]
        try:
            batch = inputs[0] if len(inputs) == 1 else np.concatenate(inputs)
            output = self._run_in_parts(batch, jobs[0].since)
        except BaseException as error:  # noqa: BLE001  (whoever waits must hear of it)
            for job in jobs:
                job.future.set_exception(error)
            return
        row = 0
        for job in jobs:
            job.future.set_result(output[row : row + len(job.batch)])
            row += len(job.batch)

    def _run_in_parts(self, batch: Batch, since: float) -> Batch:
        """Run a large batch in several runs, so that the memory is bounded by that of one."""
        most = self._settings.rows
        parts = []
        for row in range(0, max(1, len(batch)), most):
            part = batch[row : row + most]
            start = time.perf_counter()
            with self._activity:
                parts.append(self._run(part))
            self._observe(len(part), time.perf_counter() - start, start - since)
            if len(parts[-1]) != len(part):
                raise RuntimeError(f"the graph made {len(parts[-1])} rows of {len(part)}")
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

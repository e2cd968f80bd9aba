"""One thread runs the graph; what waits for it at the same moment goes into one run.

Nobody waits for company unless the settings say so: while one run is on, requests gather, and
the next run takes them all. An idle server answers a single request at once, a busy one makes
larger batches, which a graph computes faster than the same images one by one.
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
from facemodels.serving.settings import Batching


@dataclass(slots=True)
class _Job:
    batch: Batch
    future: Future[Batch] = field(default_factory=Future)
    since: float = field(default_factory=time.perf_counter)


class Batcher:
    """Runs batches of callers in a thread of its own.

    Args:
        run: float32 (N, ...) to float32 (N, ...); row by row, whatever N.
        settings: rows a run, and how long to wait for them.
        observe: told of every run: rows, seconds it took, seconds its first job had waited.
    """

    def __init__(
        self,
        run: Run,
        settings: Batching,
        *,
        observe: Callable[[int, float, float], None] = lambda rows, took, waited: None,
    ) -> None:
        self._run = run
        self._settings = settings
        self._observe = observe
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._thread.start()

    def submit(self, batch: Batch) -> Future[Batch]:
        """Run a batch some time soon; cancelling the future before that spares the run."""
        job = _Job(batch)
        self._jobs.put(job)
        return job.future

    def __call__(self, batch: Batch) -> Batch:
        """Run a batch and wait for it: a `Run` as predictors take it."""
        return self.submit(batch).result()

    def close(self) -> None:
        """Finish what was submitted, and end the thread."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        held: _Job | None = None
        while True:
            first = held or self._jobs.get()
            held = None
            if first is None:
                return
            jobs, held, closing = self._gather(first)
            self._finish([job for job in jobs if job.future.set_running_or_notify_cancel()])
            if closing:
                if held is not None:
                    self._finish([held])
                return

    def _gather(self, first: _Job) -> tuple[list[_Job], _Job | None, bool]:
        """Who is here, up to the most rows; the one who did not fit; whether it is the end."""
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
            jobs.append(job)
            rows += len(job.batch)
        return jobs, None, False

    def _finish(self, jobs: list[_Job]) -> None:
        if not jobs:
            return
        start = time.perf_counter()
        try:
            inputs = [job.batch for job in jobs]
            output = self._run(inputs[0] if len(inputs) == 1 else np.concatenate(inputs))
        except BaseException as error:  # noqa: BLE001  (whoever waits must hear of it)
            for job in jobs:
                job.future.set_exception(error)
            return
        self._observe(sum(map(len, inputs)), time.perf_counter() - start, start - jobs[0].since)
        row = 0
        for job in jobs:
            job.future.set_result(output[row : row + len(job.batch)])
            row += len(job.batch)

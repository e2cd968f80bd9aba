"""Who decodes and draws images: this process, others on this machine, or a cluster of Ray.

The results come in the order of the jobs, and each is a function of its job alone: who did it is
no part of them. Only so many jobs are under way that they fit into memory, however many follow.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Protocol, TypeVar

from facemodels.errors import DataError

WorkT = TypeVar("WorkT")
ResultT = TypeVar("ResultT")
_CHUNK = 8  # jobs that a process takes at a time
_AHEAD = 4  # chunks under way for each process
_LEAST_A_WORKER = 32  # jobs; to start a process takes as long as about so many of them


class Executor(Protocol):
    """Does jobs."""

    def in_order(
        self, work: Callable[[WorkT], ResultT], jobs: Iterable[WorkT], count: int
    ) -> Generator[ResultT, None, None]:
        """Do `work` on each job and give the results in the order of the jobs.

        Args:
            work: is sent to other processes, as are jobs and results.
            jobs: are taken as they are needed, and not all at once.
            count: how many they are.

        Raises:
            DataError: a worker died, and nobody took over.
        """


Workers = int | Executor  # a number: so many processes of this machine


def executor_of(workers: Workers) -> Executor:
    """The executor that `workers` stands for."""
    return Processes(workers) if isinstance(workers, int) else workers


class Processes:
    """Processes of this machine.

    They are started afresh and not forked, because forking a process that runs the threads of
    torch or OpenCV can deadlock; so the caller's script needs the `if __name__ == "__main__":`
    guard of `multiprocessing`.
    """

    def __init__(self, workers: int) -> None:
        """Start nothing yet.

        Args:
            workers: most processes; for few jobs this one works alone.
        """
        self._workers = workers

    def in_order(
        self, work: Callable[[WorkT], ResultT], jobs: Iterable[WorkT], count: int
    ) -> Generator[ResultT, None, None]:
        """Do `work` on each job; see `Executor`."""
        workers = min(self._workers, count // _LEAST_A_WORKER)
        if workers <= 1:
            yield from map(work, jobs)
            return
        methods = multiprocessing.get_all_start_methods()
        context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        pool = ProcessPoolExecutor(workers, mp_context=context)

        def begin(chunk: list[WorkT]) -> Future[list[ResultT]]:
            return pool.submit(each, work, chunk)

        try:
            yield from windowed(
                begin, lambda begun: begun.result(), chunks(jobs, _CHUNK), _AHEAD * workers
            )
        except BrokenProcessPool as error:
            raise DataError("A worker that decodes pictures died.", "Use fewer workers.") from error
        finally:
            pool.shutdown(cancel_futures=True)  # an interrupted build must not decode the rest


BegunT = TypeVar("BegunT")


def windowed(
    begin: Callable[[list[WorkT]], BegunT],
    wait: Callable[[BegunT], list[ResultT]],
    jobs: Iterable[list[WorkT]],
    most: int,
) -> Iterator[ResultT]:
    """Keep at most `most` chunks of jobs under way, and give their results in order.

    Args:
        begin: starts a chunk.
        wait: gives the results of a chunk that was started.
        jobs: the chunks.
        most: 1 or more.
    """
    under_way: deque[BegunT] = deque()
    for chunk in jobs:
        under_way.append(begin(chunk))
        if len(under_way) >= most:
            yield from wait(under_way.popleft())
    while under_way:
        yield from wait(under_way.popleft())


def chunks(jobs: Iterable[WorkT], size: int) -> Iterator[list[WorkT]]:
    """The jobs in lists of `size`; the last may be shorter."""
    rest = iter(jobs)
    while chunk := list(islice(rest, size)):
        yield chunk


def each(work: Callable[[WorkT], ResultT], chunk: Iterable[WorkT]) -> list[ResultT]:
    """Do `work` on each job of a chunk; runs where the executor sends it."""
    return [work(job) for job in chunk]

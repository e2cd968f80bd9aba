"""Does the same work on many parts in threads, with the results of one.

A network runs outside of the interpreter's lock. In a process that computes portably each run has
one thread, so that runs side by side take the other cores and change no bit. Elsewhere a run has
threads of its own, and the parts follow one another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from facemodels.cores import usable_cores
from facemodels.determinism import settled

PartT = TypeVar("PartT")
ResultT = TypeVar("ResultT")


def side_by_side(
    work: Callable[[PartT], ResultT], parts: Iterable[PartT], *, workers: int | None = None
) -> Iterator[ResultT]:
    """Do `work` on each part, and give the results in the order of the parts.

    Args:
        work: a function of the part alone, which threads may call at the same time.
        parts: are taken as they are needed; two a thread wait at most.
        workers: threads; None means one a core where this process computes portably, else one.
    """
    if workers is None:
        workers = usable_cores() if settled() == "portable" else 1
    if workers == 1:
        yield from map(work, parts)
        return
    with ThreadPoolExecutor(workers, "parts") as pool:
        begun: deque[Future[ResultT]] = deque()
        for part in parts:
            begun.append(pool.submit(work, part))
            if len(begun) > 2 * workers:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()

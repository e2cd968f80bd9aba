"""Which predictions are worked on, which wait, and which are refused for load.

More clients than a server can answer must cost it little: the answers to those that it takes would
all be late. A place in the queue is free only as long as the work before it ends in time, at the
rate at which requests ended lately. Who finds none waits for a moment before the refusal, so that
clients that ask again at once do not take the processor from the work.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from facemodels.serving.http.errors import RequestError
from facemodels.serving.metrics import Metrics
from facemodels.serving.settings import Limits

_WAIT_S = 0.25  # before a refusal
_SHARE = 0.5  # of the deadline that may be spent in the queue
_ALWAYS = 4  # so many are taken whatever the rate, from which it is learned
_WEIGHT = 1 / 32  # of the last request in the rate


class Admission:
    """The places of one server; everything happens in its event loop.

    Args:
        limits: the limits of requests.
        metrics: where the requests in work are counted.
        aside: tells how many of those in work are in a queue of their own, and count for nothing.
        clock: tells the time in seconds.

    Attributes:
        in_work: the predictions that have a place.
        shed: the predictions that were refused so far.
    """

    def __init__(
        self,
        limits: Limits,
        metrics: Metrics,
        *,
        aside: Callable[[], int] = lambda: 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._metrics = metrics
        self._aside = aside
        self._clock = clock
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._buffered = 0
        self._interval_s = 0.0  # between the ends of two requests
        self._last_end = clock()
        self.in_work = 0
        self.shed = 0

    async def room(self) -> None:
        """Wait until there is a place, for a moment.

        Raises:
            RequestError: 503 if there is none then.
        """
        if not self._is_full():
            return
        try:
            async with asyncio.timeout(_WAIT_S):
                while self._is_full():
                    turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    self._waiting.append(turn)
                    await turn
        except TimeoutError:
            raise self._refusal() from None

    def enter(self) -> None:
        """Take a place."""
        if not self.in_work:
            self._last_end = self._clock()
        self.in_work += 1
        self._metrics.in_flight.inc()

    def leave(self) -> None:
        """Give the place back; the one that has waited longest may take it."""
        now = self._clock()
        self._interval_s += _WEIGHT * (now - self._last_end - self._interval_s)
        self._last_end = now
        self.in_work -= 1
        self._metrics.in_flight.dec()
        while self._waiting and not self._is_full():
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                break

    def buffer(self, size: int) -> None:
        """Count a part of a body that is kept.

        Args:
            size: in bytes; below zero for a body that is dropped.

        Raises:
            RequestError: 503 if the bodies of all requests together are too large.
        """
        if size > 0 and self._buffered + size > self._limits.buffer_bytes:
            raise self._refusal()
        self._buffered += size

    def _is_full(self) -> bool:
        before = self.in_work - self._aside()
        if before >= self._limits.queue:
            return True
        expected_s = (before + 1) * self._interval_s
        return before >= _ALWAYS and expected_s > _SHARE * self._limits.deadline_s

    def _refusal(self) -> RequestError:
        """A new error for every request: an error object keeps the frames that it passed."""
        self.shed += 1
        return overloaded(self.in_work, self._limits.retry_after_s)


def overloaded(in_work: int, retry_after_s: int) -> RequestError:
    """The answer to a request for which a server has no room."""
    return RequestError(
        503,
        "overloaded",
        f"Overloaded: {in_work} requests in flight; come back in a moment, or add replicas.",
        {"retry-after": str(retry_after_s)},
    )

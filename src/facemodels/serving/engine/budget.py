"""Memory for the decoded pictures of all requests together.

A picture of few bytes can take a hundred megabytes when it is decoded. Small pictures take no more
than a fixed share, each in a thread of its own. A large one waits until what it needs is free,
first come, first served, so that many of them take the memory and the processors of one or two.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_SMALL = 1 / 4  # of the memory, for the small pictures of all threads together


class TooMuchMemoryError(Exception):
    """A request needs more memory than all requests together may take."""


class NoMemoryLeftError(Exception):
    """A request waited for memory for too long, or too many wait before it."""


class MemoryBudget:
    """The memory of one server; everything happens in its event loop.

    Args:
        most: bytes, for all requests together.
        threads: the threads in which small pictures are decoded.
        queue: the requests that may wait.
        patience_s: how long each waits.

    Attributes:
        small: a request that needs no more bytes does not wait.
        large: requests that hold memory or wait for it.
    """

    def __init__(self, most: int, *, threads: int, queue: int, patience_s: float) -> None:
        self.small = int(most * _SMALL / threads)
        self.large = 0
        self._most = self._left = int(most * (1 - _SMALL))
        self._queue = queue
        self._patience_s = patience_s
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def reserved(self, size: int) -> AsyncIterator[None]:
        """Hold so many bytes.

        Raises:
            TooMuchMemoryError: there will never be so many.
            NoMemoryLeftError: there are not so many now, nor soon.
        """
        if size > self._most:
            raise TooMuchMemoryError
        if len(self._waiting) >= self._queue:
            raise NoMemoryLeftError
        self.large += 1
        try:
            await self._acquire(size)
            try:
                yield
            finally:
                self._left += size
                self._give_out()
        finally:
            self.large -= 1

    async def _acquire(self, size: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        self._give_out()
        try:
            async with asyncio.timeout(self._patience_s):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():  # it came in the same moment
                self._left += size
            turn.cancel()
            self._give_out()
            if isinstance(error, TimeoutError):
                raise NoMemoryLeftError from None
            raise

    def _give_out(self) -> None:
        """Let those go on for whom there is memory, in their order."""
        while self._waiting:
            size, turn = self._waiting[0]
            if not turn.done():
                if size > self._left:
                    return
                self._left -= size
                turn.set_result(None)
            self._waiting.popleft()

"""The server's side of the doorman: starts it, takes connections from it, and ends it."""

from __future__ import annotations

import asyncio
import mmap
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress

import structlog

from facemodels.routes import LIVE, READY
from facemodels.serving.doorman import program

_AT_ONCE = 64  # connections that are taken before the event loop does something else
_SILENT_S = 5 * program.PERIOD_S  # after which it hangs; the machine may be very busy
_LEAVE_S = program.PATIENCE_S + 1.0


class Doorman:
    """The process that accepts the connections of one server.

    Args:
        listener: the socket that listens.
        prefix: of all addresses, such as `/faces`.
        idle_s: time that a connection without a request is kept.

    Raises:
        OSError: it cannot be started here. Nothing runs then.
    """

    def __init__(self, listener: socket.socket, *, prefix: str, idle_s: float) -> None:
        number = os.memfd_create("doorman")
        try:
            os.truncate(number, program.PAGE_BYTES)
            self._page = mmap.mmap(number, program.PAGE_BYTES)
            self.tell(ready=False)
            program.SECONDS.pack_into(self._page, program.AT_WATCH, time.monotonic())
            ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with its:
                files = (listener.fileno(), its.fileno(), number)
                numbers = map(str, (*files, idle_s))
                paths = (prefix + LIVE.path, prefix + READY.path)
                # Its environment is empty: our variables tell others whose process one is. Linux
                # shares the processors out by sessions, so that one of its own waits for none.
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", program.__file__, *numbers, *paths],
                    pass_fds=files, env={}, cwd="/", stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )  # fmt: skip
        finally:
            os.close(number)
        ours.setblocking(False)
        self._channel = ours
        self._left = asyncio.Event()
        self._take: Callable[[socket.socket], None] = socket.socket.close

    def open(self, take: Callable[[socket.socket], None]) -> None:
        """Give every connection that is not about health to `take`, in the event loop that runs."""
        self._take = take
        asyncio.get_running_loop().add_reader(self._channel, self._receive)

    def tell(self, *, ready: bool) -> None:
        """Say that the event loop runs, and whether the server is ready."""
        program.SECONDS.pack_into(self._page, program.AT_TICK, time.monotonic())
        program.FLAG.pack_into(self._page, program.AT_READY, ready)

    @property
    def works(self) -> bool:
        """Whether it is there and gives a sign of life."""
        seen = program.SECONDS.unpack_from(self._page, program.AT_WATCH)[0]
        return not self._left.is_set() and time.monotonic() - seen < _SILENT_S

    async def dismiss(self) -> None:
        """Take what it has, and let it go: no connection is accepted after that."""
        with suppress(OSError):
            self._channel.send(program.STOP)
        with suppress(TimeoutError):
            async with asyncio.timeout(_LEAVE_S if self.works else 0):
                await self._left.wait()
        self._end()

    def _receive(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                data, files, _, _ = socket.recv_fds(self._channel, 1, 1)
            except BlockingIOError:
                return
            except OSError:
                data, files = b"", []
            for number in files:
                self._take(socket.socket(fileno=number))
            if not data:
                self._end()
                return

    def _end(self) -> None:
        """Remove the process and the channel."""
        self._left.set()
        if self._channel.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._channel)
            self._channel.close()
        self._process.kill()
        self._process.wait()


def doorman_for(listener: socket.socket, *, prefix: str, idle_s: float) -> Doorman | None:
    """Start a doorman; None, and a warning in the log, where that is not possible."""
    try:
        return Doorman(listener, prefix=prefix, idle_s=idle_s)
    except (OSError, AttributeError) as error:  # no memfd_create: another system than Linux
        log = structlog.get_logger("facemodels.serving")
        log.warning("no doorman", reason=str(error))
        return None

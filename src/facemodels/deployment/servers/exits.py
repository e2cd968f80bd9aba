"""Watches processes for their end through the kernel's process descriptors, which is cheap.

A descriptor (pidfd_open(2)) belongs to one process, whatever becomes of its number. Where the
system has none, nothing is watched and nothing is known.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from contextlib import suppress

_ENDED = select.POLLIN | select.POLLHUP | select.POLLERR


class ExitWatch:
    """The processes that are watched; threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: dict[tuple[int, str], int] = {}

    def watch(self, pid: int, started: str, look: Callable[[], str | None]) -> None:
        """Watch a process from now on.

        Args:
            pid: its number.
            started: identifies its start.
            look: says which start the number has now: it may be another process by now.
        """
        with self._lock, suppress(OSError, AttributeError):
            if (pid, started) in self._files:
                return
            file = os.pidfd_open(pid)
            if look() == started:
                self._files[pid, started] = file
            else:
                os.close(file)

    def runs(self, pid: int, started: str) -> bool | None:
        """Whether a process runs; None if it is not watched. One that ended is let go."""
        with self._lock:
            file = self._files.get((pid, started))
            if file is None:
                return None
            if not _poll([file]):
                return True
            del self._files[pid, started]
            os.close(file)
        return False

    def some_ended(self) -> bool:
        """Whether a watched process ended and was not let go yet."""
        with self._lock:
            return _poll(list(self._files.values()))


def _poll(files: list[int]) -> bool:
    poll = select.poll()
    for file in files:
        poll.register(file, _ENDED)
    return bool(poll.poll(0))

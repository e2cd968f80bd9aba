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
        self._told: set[tuple[int, str]] = set()  # those whose end `wait` has told

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
            if not _ended([file]):
                return True
            del self._files[pid, started]
            self._told.discard((pid, started))
            os.close(file)
        return False

    def wait(self, seconds: float) -> bool:
        """Wait for the end of a watched process, for so long at most.

        Returns:
            Whether one ended. Of each process it says so once, so that nobody waits in vain for
            one that is not asked for any more.
        """
        with self._lock:
            files = [file for key, file in self._files.items() if key not in self._told]
        ended = _ended(files, seconds)
        with self._lock:
            told = {key for key, file in self._files.items() if file in ended}
            self._told |= told
        return bool(told)


def _ended(files: list[int], seconds: float = 0.0) -> set[int]:
    """The descriptors whose process ended; waits for the first one for so long at most."""
    poll = select.poll()
    for file in files:
        poll.register(file, _ENDED)
    return {file for file, found in poll.poll(1e3 * seconds) if found & _ENDED}

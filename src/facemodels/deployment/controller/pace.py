"""How long the controller's loop rests between two turns."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_BUSY_S = 0.1  # between two turns while something moves
_IDLE_S = 1.0  # while nothing does, and no sign of it is seen
_LOOK_S = 0.2  # between two looks at the signs meanwhile
_SETTLED_S = 3.0  # without a movement before the loop slows down


class Pace:
    """Lets the loop turn ten times a second while something moves, and once otherwise.

    A turn asks every server, every file and the tags. Between two turns of an idle environment
    only signs are looked at, which are cheap: where one changes, the next turn begins at once, and
    so it does where a process ends.

    Args:
        signs: what shows that somebody asks for something: times of files, a queue.
        wait: waits for so many seconds, or until a process ends, and says whether one did.
    """

    def __init__(self, signs: Callable[[], object], wait: Callable[[float], bool]) -> None:
        self._signs = signs
        self._wait = wait
        self._seen: object = None
        self._began = self._moved = time.monotonic()

    def begin(self) -> None:
        """A turn begins: a sign that changes from now on begins the next one."""
        self._began, self._seen = time.monotonic(), self._signs()

    def moved(self) -> None:
        """Something moved, or is not yet as it must be."""
        self._moved = time.monotonic()

    def rest(self, stop: threading.Event, hang_s: float) -> None:
        """Wait until the next turn is due.

        Args:
            stop: ends the wait.
            hang_s: a silence that ends in a restart; several turns must fit into it.
        """
        busy = self._began - self._moved < _SETTLED_S
        due = self._began + (_BUSY_S if busy else min(_IDLE_S, hang_s / 5))
        while not stop.is_set() and (left := due - time.monotonic()) > 0:
            if self._wait(min(left, _LOOK_S)) or self._signs() != self._seen:
                self.moved()
                return

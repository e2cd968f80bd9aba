"""Chooses one request of each client in every two seconds, so that no client counts for many.

The requests of one client are no independent evidence of a version: one client whose pictures are
heavy or broken, and who comes often, would condemn a good version or praise a bad one. A sample of
one request of each cluster takes that away, whatever the requests of a client have in common.
Source: Hoffman, Sen and Weinberg, "Within-cluster resampling", Biometrika 88, 2001. Here the
request is the first one of each period.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

PERIOD_S = 2.0
_CLIENTS = 10_000  # in one period; the requests of further ones are left out of the sample


class ClientSample:
    """Remembers who had a request in the present period; threads may share it.

    Args:
        clock: seconds, rising.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._period = -1
        self._seen: set[str] = set()

    def takes(self, client: str) -> bool:
        """Whether a request is the first one of its client in this period."""
        period = int(self._clock() // PERIOD_S)
        with self._lock:
            if period != self._period:
                self._period, self._seen = period, set()
            if client in self._seen or len(self._seen) >= _CLIENTS:
                return False
            self._seen.add(client)
        return True

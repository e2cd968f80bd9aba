"""Retries of calls to a store that is away for a while."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from facemodels.params import Frozen
from facemodels.storage.stores.errors import TransientError

if TYPE_CHECKING:
    from tenacity import RetryCallState

Result = TypeVar("Result")
_QUIET_S = 5.0  # a store that is away for longer than this is named while it is waited for


class Patience(Frozen):
    """How long a store may be away.

    Attributes:
        seconds: the time from the last answer to the moment when the work is given up.
        first_wait_s: the upper bound of the first pause; it doubles each time, and the pause is
            drawn between 0 and the bound (Brooker, "Exponential backoff and jitter", 2015).
        longest_wait_s: the upper bound of any pause.
    """

    seconds: float = 120.0
    first_wait_s: float = 0.5
    longest_wait_s: float = 15.0


def settle(holds: Callable[[], bool], *, seconds: float = 10.0) -> bool:
    """Wait until a store shows what it took: some do so only seconds later.

    Args:
        holds: asks the store; it is called at least once.
        seconds: how long it may take.

    Returns:
        Whether it holds now.
    """
    end, pause_s = time.monotonic() + seconds, 0.1
    while not holds():
        if time.monotonic() + pause_s > end:
            return False
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 2.0)
    return True


class Retries:
    """Repeats calls while a store is away; all threads that use it share one clock.

    The time since the last success of any call counts: a thousand objects do not wait a thousand
    times for a store that is gone. Once in such a time it is told on standard error.

    Args:
        patience: how long the store may be away; None: the defaults of `Patience`.
        clock: gives seconds that never go back.
    """

    def __init__(
        self, patience: Patience | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._patience = patience or Patience()
        self._clock = clock
        self._lock = threading.Lock()
        self._away_since: float | None = None
        self._away_s = 0.0
        self._told = False

    def __call__(self, act: Callable[[], Result]) -> Result:
        """Return the result of the first attempt that succeeds.

        Raises:
            TransientError: the last attempt failed with it. Whatever else `act` raises is raised
                at once.
        """
        from tenacity import Retrying, retry_if_exception_type, wait_random_exponential

        attempts = Retrying(
            retry=retry_if_exception_type(TransientError),
            stop=lambda _: self._is_over(),
            wait=wait_random_exponential(
                multiplier=self._patience.first_wait_s, max=self._patience.longest_wait_s
            ),
            before_sleep=self._tell,
            reraise=True,
        )
        result: Result = attempts(act)
        with self._lock:
            self._away_since, self._told = None, False
        return result

    def _tell(self, attempt: RetryCallState) -> None:
        """Say what is waited for, and how long at most."""
        error = attempt.outcome.exception() if attempt.outcome else None
        with self._lock:
            if self._told or self._away_s < _QUIET_S:
                return
            self._told = True
            left = self._patience.seconds - self._away_s
        sys.stderr.write(f"{getattr(error, 'what', error)} Trying again for {left:.0f} s.\n")

    def _is_over(self) -> bool:
        with self._lock:
            now = self._clock()
            if self._away_since is None:
                self._away_since = now
            self._away_s = now - self._away_since
            return self._away_s >= self._patience.seconds

"""Follows a version over its span of time, also where the source of samples fails meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from facemodels.errors import ToolError
from facemodels.monitoring.metrics.source import SampleSource
from facemodels.monitoring.report.figures import moment
from facemodels.monitoring.report.observation import Observation

_LOOK_S = 1.0
_LAST_S = 60.0  # in which a source that fails at the end may come back


class Follower:
    """Looks again and again; where the source fails, the last figures stay, and a note says so.

    Args:
        look: makes an observation from the source; the argument asks for the curves.
        source: the source.
        until: the end on the clock of the samples, seconds since 1970.
        show: shows an observation to people.
        sleep: waits for some seconds.
        clock: seconds, rising.
    """

    def __init__(
        self,
        look: Callable[[bool], Observation],
        source: SampleSource,
        until: float,
        show: Callable[[Observation], None],
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look, self._source, self._until, self._show = look, source, until, show
        self._sleep, self._clock = sleep, clock
        self._good: Observation | None = None
        self._at = 0.0  # when `_good` was made, on `clock`
        self._failure = ""

    def follow(self) -> Observation:
        """Follow until the span is over or the version was taken back.

        Returns:
            The last observation, with curves if the source answers then.

        Raises:
            ToolError: the source never answered.
        """
        while True:
            found = self._observe(curves=False)
            self._show(found)
            left_s = self._until - self._now(found)
            if left_s <= 0 or _is_over(found):
                break
            self._sleep(min(_LOOK_S, left_s))
        deadline = self._clock() + _LAST_S
        found = self._observe(curves=True)
        while self._failure and self._clock() < deadline:
            self._sleep(_LOOK_S)
            found = self._observe(curves=True)
        return found

    def _observe(self, *, curves: bool) -> Observation:
        """A new observation; or the last one, where the source fails."""
        try:
            found = self._look(curves)
        except ToolError as error:
            if self._good is None:
                raise
            self._failure = str(error)
        else:
            self._failure = self._source.problem
            if not self._failure or self._good is None:
                self._good, self._at = found, self._clock()
                return found
        note = f"No figures since {moment(self._good.now)}: {self._failure}"
        return replace(self._good, notes=(*self._good.notes, note))

    def _now(self, found: Observation) -> float:
        """The time on the samples' clock, also while nobody tells it."""
        return found.now + (self._clock() - self._at)


def _is_over(found: Observation) -> bool:
    """Whether the version was taken back and has no requests any more."""
    answer = (found.verdict or {}).get("answer")
    return answer == "roll back" and found.versions[0].role in ("absent", "warm")

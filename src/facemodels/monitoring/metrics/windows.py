"""What two versions did in the same time: the words between samples and verdict. Pure."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tally:
    """What one version did.

    Attributes:
        requests: predictions that ended, those that were the client's mistake left out.
        errors: of these, how many ended in error, timeout, or were turned away.
        bounds: upper bounds of the buckets of latency, seconds, rising; one more is above all.
        latency: answers by bucket (not cumulated); one number more than `bounds`.
    """

    requests: int
    errors: int
    bounds: tuple[float, ...] = ()
    latency: tuple[int, ...] = ()

    @property
    def answers(self) -> int:
        """How many latencies there are; not always `requests`, as scrapes fall between the two."""
        return sum(self.latency)

    def above(self, seconds: float) -> int:
        """Answers in buckets that lie wholly above a bound; `seconds` is one of the bounds."""
        return sum(self.latency[bisect_right(self.bounds, seconds) :])

    def __add__(self, other: Tally) -> Tally:
        """Both together; the buckets are the same."""
        longer, shorter = sorted((self, other), key=lambda one: len(one.latency), reverse=True)
        latency = shorter.latency or (0,) * len(longer.latency)
        return Tally(
            self.requests + other.requests,
            self.errors + other.errors,
            longer.bounds,
            tuple(a + b for a, b in zip(longer.latency, latency, strict=True)),
        )


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time.

    Attributes:
        start: seconds since 1970.
        end: likewise; later.
        canary: of the version on its way; None if its numbers were lost.
        stable: of the version beside it; None likewise.
    """

    start: float
    end: float
    canary: Tally | None
    stable: Tally | None

"""Counts of requests in a window of time, of two versions side by side. Pure."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

FEWEST = 10  # requests of a sample of one a client, in one window


@dataclass(frozen=True, slots=True)
class Tally:
    """The counts of one version over some time.

    Attributes:
        requests: the number of predictions that ended, without those that the client got wrong.
        errors: how many of these ended in an error, a timeout or a rejection.
        bounds: the upper bounds of the buckets of latency, seconds, rising; a last bucket without
            a bound follows.
        latency: the number of answers in each bucket, not cumulated; one more than `bounds`.
        sampled: the same of a sample of one request a client in two seconds; None without it.
    """

    requests: int
    errors: int
    bounds: tuple[float, ...] = ()
    latency: tuple[int, ...] = ()
    sampled: Tally | None = None

    @property
    def answers(self) -> int:
        """The number of latencies. A scrape may fall between both, so `requests` may differ."""
        return sum(self.latency)

    def above(self, seconds: float) -> int:
        """The number of answers in the buckets above a bound; `seconds` is one of `bounds`."""
        return sum(self.latency[bisect_right(self.bounds, seconds) :])

    def __add__(self, other: Tally) -> Tally:
        """The sum of both; they have the same buckets, or one has no latencies."""
        longer, shorter = sorted((self, other), key=lambda one: len(one.latency), reverse=True)
        latency = shorter.latency or (0,) * len(longer.latency)
        return Tally(
            self.requests + other.requests,
            self.errors + other.errors,
            longer.bounds,
            tuple(a + b for a, b in zip(longer.latency, latency, strict=True)),
            self._sampled_with(other),
        )

    def _sampled_with(self, other: Tally) -> Tally | None:
        if self.sampled is None or other.sampled is None:
            return self.sampled or other.sampled
        return self.sampled + other.sampled

    @property
    def is_sampled(self) -> bool:
        """Whether so many clients asked that the sample says enough."""
        return self.sampled is not None and self.sampled.requests >= FEWEST


def without_crowding(canary: Tally, stable: Tally) -> tuple[Tally, Tally]:
    """The counts in which no client counts for many, where enough clients asked both versions.

    Of few clients everything counts: their requests are all that there is to judge by.
    """
    if canary.is_sampled and stable.is_sampled and canary.sampled and stable.sampled:
        return canary.sampled, stable.sampled
    return canary, stable


@dataclass(frozen=True, slots=True)
class Window:
    """The counts of both versions of a rollout in one window of time.

    Attributes:
        start: the start, seconds since 1970.
        end: the end, seconds since 1970.
        canary: the counts of the version that the rollout brings; None if they were lost.
        stable: the counts of the version beside it; None if they were lost.
    """

    start: float
    end: float
    canary: Tally | None
    stable: Tally | None

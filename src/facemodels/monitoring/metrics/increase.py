"""From readings of counters to what was counted between two readings. Pure.

A server counts from its start. The increase between two readings of a process is their difference,
without Prometheus' extrapolation, so sums over windows are sums of events. A process that appears
while the source watches counts from zero, and so does one whose counters fell. The first reading
of a process that started earlier counts for nothing, because the times of its events are unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

from facemodels.monitoring.metrics.reading import (
    NO_HISTOGRAM,
    NOTHING_BESIDE,
    STATUSES,
    Histogram,
    Reading,
    SideCounts,
)
from facemodels.monitoring.metrics.windows import Tally

_INVALID, _SUCCESS = STATUSES.index("invalid"), STATUSES.index("success")


@dataclass(frozen=True, slots=True)
class InstanceReading:
    """One reading of one server process.

    Attributes:
        time: when it was read, on the source's own clock, which never goes back.
        instance: the process, for example `rec-facenet-v2.1.3-0@2214`.
        fresh: whether it is the first reading of a process that started while the source watched.
        reading: the numbers.
    """

    time: float
    instance: str
    fresh: bool
    reading: Reading


@dataclass(frozen=True, slots=True)
class Increase:
    """What was counted in some time.

    Attributes:
        statuses: the number of predictions by how they ended, in the order of `STATUSES`.
        latency: the durations of requests, seconds.
        inference: the durations of the model's runs, seconds.
        side: what was counted beside the requests.
        sampled: the statuses of a sample of one request a client.
        sampled_latency: their durations.
    """

    statuses: tuple[int, ...] = field(default=(0,) * len(STATUSES))
    latency: Histogram = NO_HISTOGRAM
    inference: Histogram = NO_HISTOGRAM
    side: SideCounts = NOTHING_BESIDE
    sampled: tuple[int, ...] = (0,) * len(STATUSES)
    sampled_latency: Histogram = NO_HISTOGRAM

    def __add__(self, other: Increase) -> Increase:
        """The sum of both."""
        return Increase(
            tuple(a + b for a, b in zip(self.statuses, other.statuses, strict=True)),
            merge(self.latency, other.latency),
            merge(self.inference, other.inference),
            self.side.plus(other.side),
            tuple(a + b for a, b in zip(self.sampled, other.sampled, strict=True)),
            merge(self.sampled_latency, other.sampled_latency),
        )

    @property
    def inferences(self) -> int:
        """The number of predictions that were answered."""
        return self.statuses[_SUCCESS]

    @property
    def tally(self) -> Tally:
        """The counts that the verdict takes; they leave out what the client got wrong."""
        sampled = _tally(self.sampled, self.sampled_latency)
        return _tally(self.statuses, self.latency, sampled)


def _tally(statuses: tuple[int, ...], latency: Histogram, sampled: Tally | None = None) -> Tally:
    requests = sum(statuses) - statuses[_INVALID]
    errors = requests - statuses[_SUCCESS]
    bounds = latency.bounds
    # What the router lost has no latencies at all, and one bucket is none either.
    return Tally(requests, errors, bounds, latency.counts if bounds else (), sampled)


def lost_reading(count: int) -> Reading:
    """The reading of a router that has counted requests which died inside a server."""
    return router_reading({"error": count})


def router_reading(counts: Mapping[str, int]) -> Reading:
    """The reading of a router, which counts requests by how they ended and times none."""
    statuses = tuple(counts.get(status, 0) for status in STATUSES)
    # Whose they were nobody knows; the sample has all of them.
    return Reading(
        statuses, NO_HISTOGRAM, NO_HISTOGRAM, memory_bytes=0.0, in_flight=0.0, sampled=statuses
    )


def merge(one: Histogram, other: Histogram) -> Histogram:
    """The sum of two histograms, in the bounds that both have."""
    if one.bounds != other.bounds:
        # A histogram without counts has any bounds.
        if not any(one.counts):
            return other
        if not any(other.counts):
            return one
        bounds = tuple(sorted(set(one.bounds) & set(other.bounds)))
        one, other = _coarser(one, bounds), _coarser(other, bounds)
    counts = tuple(a + b for a, b in zip(one.counts, other.counts, strict=True))
    return Histogram(one.bounds, counts, one.sum + other.sum)


def _coarser(histogram: Histogram, bounds: tuple[float, ...]) -> Histogram:
    counts = [0] * (len(bounds) + 1)
    place = 0
    for number, count in enumerate(histogram.counts):
        counts[place] += count
        if (
            place < len(bounds)
            and number < len(histogram.bounds)
            and histogram.bounds[number] == bounds[place]
        ):
            place += 1
    return Histogram(bounds, tuple(counts), histogram.sum)


def between(before: Reading | None, after: Reading) -> Increase:
    """The increase between two readings of a process; all of `after` if it was started again."""
    whole = Increase(
        after.statuses, after.latency, after.inference, after.side, after.sampled,
        after.sampled_latency,
    )  # fmt: skip
    if before is None:
        return whole
    latency = _difference(before.latency, after.latency)
    inference = _difference(before.inference, after.inference)
    statuses = tuple(b - a for a, b in zip(before.statuses, after.statuses, strict=True))
    sampled = tuple(b - a for a, b in zip(before.sampled, after.sampled, strict=True))
    sampled_latency = _difference(before.sampled_latency, after.sampled_latency)
    if latency is None or inference is None or min(statuses) < 0:
        return whole
    side = after.side.since(before.side)
    if sampled_latency is None or min(sampled) < 0:  # the server keeps a sample only now
        return Increase(statuses, latency, inference, side)
    return Increase(statuses, latency, inference, side, sampled, sampled_latency)


def _difference(before: Histogram, after: Histogram) -> Histogram | None:
    if before.bounds != after.bounds:
        return None
    counts = tuple(b - a for a, b in zip(before.counts, after.counts, strict=True))
    return Histogram(after.bounds, counts, after.sum - before.sum) if min(counts) >= 0 else None


def increases(
    readings: Iterable[InstanceReading], since: float
) -> Iterator[tuple[float, Increase]]:
    """The increase at each reading since the one before of the same process.

    Args:
        readings: the readings, of each process in order, with the last one up to `since`.
        since: readings up to this time only say where counting starts.

    Yields:
        The time of the later reading, and the increase.
    """
    last: dict[str, Reading] = {}
    for each in readings:
        before = last.get(each.instance)
        if each.time > since and (before is not None or each.fresh):
            yield each.time, between(before, each.reading)
        last[each.instance] = each.reading


def together(works: Sequence[Increase]) -> Increase | None:
    """The sum of increases; None if there are none."""
    return reduce(lambda a, b: a + b, works) if works else None

"""Counters → what happened between two looks. Pure.

A server counts from its start. Between two looks at the same process, what happened is the
difference, without Prometheus' extrapolation: sums over windows are sums of events. A process
that appears while we watch counts from zero; so does one whose numbers fell. The first look at a
process that was there before we were says nothing: nobody knows when its events were.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce

from facemodels.monitoring.metrics.reading import STATUSES, Histogram, Reading
from facemodels.monitoring.metrics.windows import Tally

_INVALID, _SUCCESS = STATUSES.index("invalid"), STATUSES.index("success")
_NONE = Histogram((), (0,), 0.0)


@dataclass(frozen=True, slots=True)
class InstanceReading:
    """A look at one process.

    Attributes:
        time: on the source's own clock, which never goes back.
        instance: the process, for example `rec-facenet-v2.1.3-0@2214`.
        fresh: the first look at a process that was not there when the source looked before.
        reading: what it told.
    """

    time: float
    instance: str
    fresh: bool
    reading: Reading


@dataclass(frozen=True, slots=True)
class Increase:
    """What was done in a stretch of time.

    Attributes:
        statuses: predictions by how they ended, in the order of `STATUSES`.
        latency: of requests.
        inference: of the model's runs.
    """

    statuses: tuple[int, ...] = field(default=(0,) * len(STATUSES))
    latency: Histogram = _NONE
    inference: Histogram = _NONE

    def __add__(self, other: Increase) -> Increase:
        """Both together."""
        return Increase(
            tuple(a + b for a, b in zip(self.statuses, other.statuses, strict=True)),
            merge(self.latency, other.latency),
            merge(self.inference, other.inference),
        )

    @property
    def inferences(self) -> int:
        """Predictions that were answered."""
        return self.statuses[_SUCCESS]

    @property
    def tally(self) -> Tally:
        """The verdict's words; what the client did wrong is left out."""
        requests = sum(self.statuses) - self.statuses[_INVALID]
        errors = requests - self.inferences
        return Tally(requests, errors, self.latency.bounds, self.latency.counts)


def merge(one: Histogram, other: Histogram) -> Histogram:
    """Both together, in the buckets that both know; exact, as the buckets of a server are kept."""
    if one.bounds != other.bounds:
        # An empty one knows every bucket.
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
    """What happened between two readings of a process; all of `after` if it began anew."""
    whole = Increase(after.statuses, after.latency, after.inference)
    if before is None:
        return whole
    latency = _difference(before.latency, after.latency)
    inference = _difference(before.inference, after.inference)
    statuses = tuple(b - a for a, b in zip(before.statuses, after.statuses, strict=True))
    if latency is None or inference is None or min(statuses) < 0:
        return whole
    return Increase(statuses, latency, inference)


def _difference(before: Histogram, after: Histogram) -> Histogram | None:
    if before.bounds != after.bounds:
        return None
    counts = tuple(b - a for a, b in zip(before.counts, after.counts, strict=True))
    return Histogram(after.bounds, counts, after.sum - before.sum) if min(counts) >= 0 else None


def increases(seen: Iterable[InstanceReading], since: float) -> Iterator[tuple[float, Increase]]:
    """When it was seen, and what happened since the look before, of every process.

    Args:
        seen: looks, of each process in order; the last one up to `since` included.
        since: earlier ones only tell where counting starts.
    """
    last: dict[str, Reading] = {}
    for look in seen:
        before = last.get(look.instance)
        if look.time > since and (before is not None or look.fresh):
            yield look.time, between(before, look.reading)
        last[look.instance] = look.reading


def together(works: Sequence[Increase]) -> Increase | None:
    """The sum; None of nothing."""
    return reduce(lambda a, b: a + b, works) if works else None

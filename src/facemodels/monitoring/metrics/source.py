"""The interface of a source of samples, and what is computed from any source: windows, sums."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from facemodels.errors import InputError
from facemodels.monitoring.metrics.increase import Increase, InstanceReading, increases, together
from facemodels.monitoring.metrics.reading import Series
from facemodels.monitoring.metrics.windows import Tally, Window

_ROUNDING = 1e-6  # of a window's width; times are sums of floats


@dataclass(frozen=True, slots=True)
class PeakUsage:
    """The highest usage of any server of a version over some time.

    Attributes:
        memory_bytes: the resident memory.
        in_flight: the number of predictions that were running or waiting.
        gpu_memory_bytes: the memory on all GPUs together; None without a GPU.
        gpu_load: the load of the busiest GPU, 0 to 1; None without a GPU.
    """

    memory_bytes: float
    in_flight: float
    gpu_memory_bytes: float | None
    gpu_load: float | None


class SampleSource(Protocol):
    """A source of samples: our own store, or a Prometheus server.

    All times are on the source's own clock, which `now` reads.

    Attributes:
        problem: why the last answer is empty or old, for an alarm; "" if nothing is wrong.
    """

    problem: str

    def now(self) -> float:
        """The time on the clock of the samples, seconds since 1970."""

    def readings(
        self, series: Series, since: float, until: float, width_s: float | None = None
    ) -> Sequence[InstanceReading]:
        """The readings of a version's servers in (since, until], and of each the last one before.

        Args:
            series: the labels of the version.
            since: seconds since 1970.
            until: seconds since 1970.
            width_s: the width of the windows for which the readings are meant; readings that do
                not change the sums of such windows may be left out.
        """

    def peaks(self, series: Series, since: float, until: float) -> PeakUsage | None:
        """The highest usage in (since, until]; None without a reading."""

    def gauge(
        self, name: str, series: Series, since: float, until: float
    ) -> Sequence[tuple[float, float]]:
        """The times and values of a gauge of the controller, for example of the probes."""


def total_increase(
    source: SampleSource, series: Series, since: float, until: float
) -> Increase | None:
    """What was counted of a version in (since, until]; None without readings."""
    readings = source.readings(series, since, until, None)
    return together([done for _, done in increases(readings, since)])


def tally(source: SampleSource, series: Series, since: float, until: float) -> Tally | None:
    """The same as counts of requests, errors and latencies; None without readings."""
    done = total_increase(source, series, since, until)
    return done.tally if done else None


def memory(source: SampleSource, series: Series, since: float, until: float) -> float | None:
    """The bytes of a version's largest server in (since, until]; None without readings."""
    found = source.peaks(series, since, until)
    return found.memory_bytes if found else None


def windows(
    source: SampleSource, canary: Series, stable: Series, since: float, until: float, width_s: float
) -> list[Window]:
    """The whole windows in (since, until], with the counts of both versions.

    What was counted between two readings belongs to the window of the later one, so every event is
    counted once. A window must be wider than the time between two scrapes, or it may be empty.

    Raises:
        InputError: the width is not above zero.
    """
    if not width_s > 0:
        raise InputError(f"A window of {width_s} s is none.", "Set window_s above zero.")
    number = math.floor((until - since) / width_s + _ROUNDING)
    if number <= 0:
        return []
    end = since + number * width_s
    ours = _by_window(source, canary, since, end, width_s)
    theirs = _by_window(source, stable, since, end, width_s)
    return [
        Window(since + k * width_s, since + (k + 1) * width_s, ours.get(k), theirs.get(k))
        for k in range(number)
    ]


def window_of(time: float, since: float, width_s: float) -> int:
    """The number of the window that holds a time; a window includes its end, not its start."""
    return max(math.ceil((time - since) / width_s - _ROUNDING) - 1, 0)


def _by_window(
    source: SampleSource, series: Series, since: float, until: float, width_s: float
) -> dict[int, Tally]:
    found: dict[int, list[Increase]] = defaultdict(list)
    for time, done in increases(source.readings(series, since, until, width_s), since):
        found[window_of(time, since, width_s)].append(done)
    return {k: sum(works[1:], works[0]).tally for k, works in found.items()}

"""What a source of samples gives, and the questions that are asked of any of them."""

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

_ROUNDING = 1e-6  # of a window; times are sums of floats


@dataclass(frozen=True, slots=True)
class PeakUsage:
    """The most that any server of a version took.

    Attributes:
        memory_bytes: resident.
        in_flight: predictions in work or waiting.
        gpu_memory_bytes: of all GPUs; None without one.
        gpu_load: of the busiest GPU, 0 to 1; None without one.
    """

    memory_bytes: float
    in_flight: float
    gpu_memory_bytes: float | None
    gpu_load: float | None


class SampleSource(Protocol):
    """Samples of servers. Times are on the source's clock, which `now` tells.

    Attributes:
        problem: why the answer before is empty or old, for an alarm; "" if nothing is wrong.
    """

    problem: str

    def now(self) -> float:
        """Seconds since 1970, on the clock of the samples."""

    def readings(
        self, series: Series, since: float, until: float, width_s: float | None = None
    ) -> Sequence[InstanceReading]:
        """Looks at a version's servers in (since, until], and the last one before of each.

        Args:
            series: whose.
            since: seconds.
            until: seconds.
            width_s: of the windows they are for; looks that change nothing may be left out.
        """

    def peaks(self, series: Series, since: float, until: float) -> PeakUsage | None:
        """The most in (since, until]; None without a look."""

    def gauge(
        self, name: str, series: Series, since: float, until: float
    ) -> Sequence[tuple[float, float]]:
        """Time and value of what was measured beside the servers, for example by probes."""


def total_increase(
    source: SampleSource, series: Series, since: float, until: float
) -> Increase | None:
    """What a version did in (since, until]; None if nobody knows."""
    looks = source.readings(series, since, until, None)
    return together([done for _, done in increases(looks, since)])


def tally(source: SampleSource, series: Series, since: float, until: float) -> Tally | None:
    """As `total_increase`, in the verdict's words."""
    done = total_increase(source, series, since, until)
    return done.tally if done else None


def memory(source: SampleSource, series: Series, since: float, until: float) -> float | None:
    """Bytes of the largest server of a version in (since, until]; None if nobody knows."""
    found = source.peaks(series, since, until)
    return found.memory_bytes if found else None


def windows(
    source: SampleSource, canary: Series, stable: Series, since: float, until: float, width_s: float
) -> list[Window]:
    """The whole windows in (since, until], both versions side by side.

    What happened between two looks belongs to the window of the later look: every event is
    counted once. A window must be wider than the scrapes are apart, or it may be empty.

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
    """Number of the window that holds a time; its end is its own, its start is not."""
    return max(math.ceil((time - since) / width_s - _ROUNDING) - 1, 0)


def _by_window(
    source: SampleSource, series: Series, since: float, until: float, width_s: float
) -> dict[int, Tally]:
    found: dict[int, list[Increase]] = defaultdict(list)
    for time, done in increases(source.readings(series, since, until, width_s), since):
        found[window_of(time, since, width_s)].append(done)
    return {k: sum(works[1:], works[0]).tally for k, works in found.items()}

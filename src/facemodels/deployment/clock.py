"""The clock that everything in a state folder goes by which outlives a controller."""

from __future__ import annotations

import time

# It counts while the machine sleeps, where the system has such a clock.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boot_time() -> float:
    """Seconds since the boot of the machine.

    Nobody sets this clock, and it goes on over a restart of the controller. After a boot, times
    that were noted before it lie ahead.
    """
    return time.clock_gettime(_CLOCK)

"""When a process that died may be started again, and the file that counts its deaths."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from facemodels import files


@dataclass(frozen=True)
class Deaths:
    """How often a process died soon after its start.

    Attributes:
        quick: the number of such deaths in a row.
        last: the time of the last one in seconds since 1970.
    """

    quick: int = 0
    last: float = 0.0


@dataclass(frozen=True)
class Backoff:
    """The rule for the pause before a restart. Pure.

    Attributes:
        first_s: seconds to wait after the first quick death; each further one doubles them.
        max_s: the longest pause in seconds.
        settled_s: a process that lived this many seconds did not die quickly.
    """

    first_s: float
    max_s: float
    settled_s: float

    def died(self, deaths: Deaths, lived_s: float, now: float) -> Deaths:
        """Count a death; a process that lived for `settled_s` starts the count anew."""
        quick = 1 if lived_s >= self.settled_s else deaths.quick + 1
        return Deaths(quick, now)

    def wait_s(self, deaths: Deaths, now: float) -> float:
        """Seconds until the process may be started; 0 means now.

        A clock that was set back to before the last death causes no pause.
        """
        return max(0.0, self.next_start(deaths) - now) if now >= deaths.last else 0.0

    def next_start(self, deaths: Deaths) -> float:
        """When the process may be started, in seconds since 1970; 0 means at any time."""
        if deaths.quick == 0:
            return 0.0
        # Without this bound the power overflows a float; 2**64 s is longer than any `max_s`.
        return deaths.last + min(self.max_s, self.first_s * 2.0 ** min(deaths.quick - 1, 64))


def deaths_of(path: Path) -> Deaths:
    """Read how often the process of a file died quickly; none if that is unknown."""
    try:
        record = json.loads(_deaths_path(path).read_bytes())
        return Deaths(int(record["quick"]), float(record["last"]))
    except (OSError, KeyError, TypeError, ValueError):
        return Deaths()


def keep_deaths(path: Path, deaths: Deaths) -> None:
    """Write the count beside the process's file, for the next controller."""
    files.write_json(_deaths_path(path), {"quick": deaths.quick, "last": deaths.last})


def forget_deaths(path: Path) -> None:
    """Delete the count: the next start is a new beginning."""
    with suppress(OSError):
        _deaths_path(path).unlink(missing_ok=True)


def _deaths_path(path: Path) -> Path:
    return path.with_suffix(".deaths")

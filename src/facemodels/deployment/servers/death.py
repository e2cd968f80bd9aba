"""How a process ended, in words for an operator: signal or exit code, and its last error."""

from __future__ import annotations

import json
import signal
from contextlib import suppress
from pathlib import Path

_BYTES = 65_536  # at the end of a log in which the error is looked for
_WIDTH = 300  # characters of the error that are told
_OUT_OF_MEMORY = ", as the kernel does where memory runs out"


def cause_of_death(exit_code: int | None, log: Path, begun: int = 0) -> str:
    """How a process ended.

    For example `ended with exit code 1; its log says: OSError: [Errno 28] No space left on device`.

    Args:
        exit_code: see `Process.exit_code`.
        log: the file with its output.
        begun: the length of that file when the process began; what was there is not of it.
    """
    error = last_error(log, begun)
    return f"{_ending(exit_code)}; its log says: {error}" if error else _ending(exit_code)


def _ending(exit_code: int | None) -> str:
    if exit_code is None:
        return "ended (only the controller that started it was told how)"
    if exit_code >= 0:
        return f"ended with exit code {exit_code}"
    name = str(-exit_code)
    with suppress(ValueError):
        name = signal.Signals(-exit_code).name
    return f"was killed by {name}{_OUT_OF_MEMORY if name == 'SIGKILL' else ''}"


def last_error(log: Path, begun: int = 0) -> str:
    """The last line of a log that tells of trouble; "" if none does.

    The line of a request that was answered says nothing of a death.

    Args:
        log: the log.
        begun: the place in bytes from which on its lines count; 0 also if it is shorter now.
    """
    try:
        with log.open("rb") as file:
            length = file.seek(0, 2)
            begun = begun if begun <= length else 0
            start = file.seek(max(begun, length - _BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    lines = lines if start == begun else lines[1:]  # the first one may be half a line
    told = (line for line in reversed(lines) if line.strip() and not _is_usual(line))
    return next(told, "")[:_WIDTH]


def _is_usual(line: str) -> bool:
    """Whether a line of a log is one of everyday business."""
    try:
        found = json.loads(line)
    except ValueError:
        return False
    return isinstance(found, dict) and found.get("level") in ("info", "debug")

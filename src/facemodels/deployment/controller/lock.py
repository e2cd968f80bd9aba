"""Lets only one controller run on an environment.

The controller holds `lock` in the state folder. The kernel releases the lock with the process, also
after SIGKILL. The file names the process that holds it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from facemodels.errors import ConflictError, ToolError

NAME = "lock"  # in the state folder; it is written when a controller begins
_PATIENCE_S = 0.5  # `is_held` takes the lock for a moment itself
_POLL_S = 0.02


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the lock of an environment.

    Args:
        folder: the state folder of the environment.

    Raises:
        ConflictError: another controller holds it.
        ToolError: the folder cannot be written.
    """
    # A lock that is only a file (`fallback_to_soft`) would outlive a killed controller.
    lock = FileLock(folder / NAME, fallback_to_soft=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=_PATIENCE_S, poll_interval=_POLL_S)
    except Timeout as error:
        raise ConflictError(
            f"A controller (process {holder(folder) or '?'}) runs on {folder} already.",
            "`facemodels status` shows what it does; `facemodels down` ends it.",
        ) from error
    except OSError as error:
        raise ToolError(
            f"{folder} cannot be written: {error}.",
            "See that you may write there, or name another folder under `state` in conf/deploy/.",
        ) from error
    try:
        # The file is overwritten in place: a new file would have a lock of its own.
        (folder / NAME).write_text(f"{os.getpid()}\n", encoding="utf-8")
        yield
    finally:
        lock.release()


def is_held(folder: Path) -> bool:
    """Whether a controller runs on an environment.

    A shared lock asks for it: several may ask at once without seeing each other, and whoever may
    read the file may ask.
    """
    try:
        with (folder / NAME).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def holder(folder: Path) -> int | None:
    """The process that holds the lock, or held it last; None if the file names none."""
    try:
        return int((folder / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None

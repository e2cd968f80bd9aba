"""One controller an environment: a lock that the kernel gives up with the process."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from facemodels.errors import ConflictError, ToolError

_NAME = "lock"
_PATIENCE_S = 0.5  # `is_held` has the lock for a moment itself


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold an environment's lock.

    Raises:
        ConflictError: another controller has it.
        ToolError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        opened = (folder / _NAME).open("a+", encoding="utf-8")
    except OSError as error:
        raise ToolError(
            f"{folder} cannot be written: {error}.",
            "See that you may write there, or name another folder under `state` in conf/deploy/.",
        ) from error
    with opened as file:
        _take(file, folder)
        os.set_inheritable(file.fileno(), False)
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _take(file: TextIO, folder: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise ConflictError(
                    f"A controller (process {holder(folder) or '?'}) runs on {folder} already.",
                    "`facemodels status` shows what it does; `facemodels down` ends it.",
                ) from error
            time.sleep(0.02)
        else:
            return


def is_held(folder: Path) -> bool:
    """Whether a controller runs on an environment."""
    try:
        with (folder / _NAME).open("r", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def holder(folder: Path) -> int | None:
    """The process that holds the lock; None if nobody does."""
    try:
        return int((folder / _NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None

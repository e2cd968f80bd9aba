"""One controller an environment: a lock that the kernel gives up with the process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facemodels.errors import ConflictError

_NAME = "lock"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold an environment's lock.

    Raises:
        ConflictError: another controller has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _NAME).open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConflictError(
                f"a controller (process {holder(folder) or '?'}) runs on {folder} already.",
                "`facemodels status` shows what it does; `facemodels down` ends it.",
            ) from error
        os.set_inheritable(file.fileno(), False)
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


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

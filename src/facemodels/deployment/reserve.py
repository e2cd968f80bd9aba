"""Room that the state folder keeps for a rollback on a disk that is full.

A disk fills with logs and pictures, at night, and a version goes bad at the same time. The file
`reserve` holds some megabytes that nobody needs; what must be written then is written in its place.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from facemodels.errors import ToolError

_NAME = "reserve"
_BYTES = 4 * 2**20
T = TypeVar("T")


class Reserve:
    """The reserve of a state folder.

    Args:
        folder: the state folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / _NAME

    def fill(self) -> None:
        """Take the room if the disk has it, as it may have again after a time."""
        with suppress(OSError):
            if self._path.stat().st_size >= _BYTES:
                return
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o644)
            try:
                os.posix_fallocate(file, 0, _BYTES)
            finally:
                os.close(file)
        except OSError:
            self._spend()  # less than all would keep room from others and be of no use

    def use(self, act: Callable[[], T]) -> T:
        """Do what must not fail for want of room.

        Args:
            act: writes files; it is done again, with the room of the reserve, if the disk is full.

        Raises:
            OSError, ToolError: it failed for another reason, or the reserve is spent.
        """
        try:
            return act()
        except (OSError, ToolError) as error:
            if not _is_full(error) or not self._spend():
                raise
            return act()

    def _spend(self) -> bool:
        try:
            self._path.unlink()
        except OSError:
            return False
        return True


def _is_full(error: BaseException) -> bool:
    cause = error if isinstance(error, OSError) else error.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)

"""Tells by `stat` alone whether the refs of a clone have changed, without starting git."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from facemodels.git import Git, common_folder

# Git replaces a ref by renaming a file into its folder, which changes the folder. Tags of events
# lie in one folder, and the head in another; `git pack-refs` and a reftable change one file.
_WATCHED = ("packed-refs", "refs/tags", "refs/facemodels", "reftable/tables.list")
_COARSE_S = 0.05  # times of files are counted in steps of a few milliseconds
Stamp = tuple[tuple[str, int, int, int], ...]


class RefStamp:
    """Watches the refs of a clone.

    Args:
        git: runs commands in the clone.
    """

    def __init__(self, git: Git) -> None:
        self._git = git
        self._watched: tuple[tuple[str, str], ...] = ()  # names and paths

    def take(self) -> Stamp | None:
        """What the refs look like now: two equal stamps mean that nothing changed between them.

        None if that cannot be told: the repository was not found, or the refs changed so lately
        that a further change might have the same time.
        """
        if not self._found():
            return None
        found = []
        for name, path in self._watched:
            with suppress(OSError):
                one = os.stat(path)  # noqa: PTH116  (many times a second, at a tenth of the cost)
                found.append((name, one.st_mtime_ns, one.st_ino, one.st_size))
        latest_s = max((one[1] for one in found), default=0) / 1e9
        return tuple(found) if abs(time.time() - latest_s) > _COARSE_S else None

    def _found(self) -> bool:
        if not self._watched:
            with suppress(OSError, UnicodeDecodeError):
                folder = common_folder(self._git.root)
                (folder / "HEAD").lstat()  # every repository has one
                self._watched = tuple((name, str(folder / name)) for name in _WATCHED)
        return bool(self._watched)

"""Reads a file of conf/, and falls back to its last good content where it is broken.

A typo must not stop what an operator does in an emergency, nor a controller that starts again at
night. Every file that was read well leaves a copy in `.facemodels/last-good/`. Where the file is
broken, missing, or cannot be read, the copy counts, or else the last committed content that fits,
and `Settled.problem` says so.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from facemodels.errors import FacemodelsError, InputError
from facemodels.files import write_bytes
from facemodels.git import Git

COPIES = Path(".facemodels", "last-good")  # below the root of the repository
_COMMITS = 20  # of the file's history are tried where there is no copy
T = TypeVar("T")


@dataclass(frozen=True)
class Settled(Generic[T]):
    """What was read, and where it came from.

    Attributes:
        value: the content.
        path: the file that it was read from; the copy, if the file itself is broken.
        problem: what is wrong with the file and what counts instead; "" if nothing is.
    """

    value: T
    path: Path
    problem: str = ""


def read_or_last_good(root: Path, path: Path, load: Callable[[Path], T]) -> Settled[T]:
    """Read a file, or the last content of it that was good.

    Args:
        root: the root folder of the repository.
        path: the file.
        load: reads a file; an `InputError` or `OSError` means that it is not good.

    Raises:
        InputError, OSError: what `load` raised, if no good content is known either.
    """
    copy = _copy_of(root, path)
    try:
        _refuse_pipe(path)
        value = load(path)
    except (InputError, OSError) as error:
        found = _last_good(root, path, copy, load)
        if found is None:
            raise
        value, origin = found
        told = error.what if isinstance(error, InputError) else f"{path}: {error}."
        return Settled(value, copy, f"{told} Until that is mended, {origin} counts.")
    _keep(path, copy)
    return Settled(value, path)


def _refuse_pipe(path: Path) -> None:
    """Nobody may ever write to it, and who reads it waits."""
    if path.is_fifo():
        raise InputError(f"{path} is a pipe, and no file.")


def changed_ns(path: Path) -> int:
    """When a file was changed, in nanoseconds since 1970; 0 if it is gone."""
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116  (many times a second)
    except OSError:
        return 0


def _copy_of(root: Path, path: Path) -> Path:
    place = path.absolute()
    if place.is_relative_to(root.absolute()):
        return root / COPIES / place.relative_to(root.absolute())
    named = hashlib.sha256(str(place).encode()).hexdigest()[:16]
    return root / COPIES / f"{named}-{path.name}"


def _keep(path: Path, copy: Path) -> None:
    """Copy a good file; a disk that is full or read-only keeps the older copy."""
    with suppress(OSError):
        content = path.read_bytes()
        if not copy.is_file() or copy.read_bytes() != content:
            copy.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(copy, content)


def _last_good(
    root: Path, path: Path, copy: Path, load: Callable[[Path], T]
) -> tuple[T, str] | None:
    with suppress(InputError, OSError):
        return load(copy), "the last good content of it"
    for commit, content in _committed(root, path):
        with suppress(InputError, OSError), tempfile.TemporaryDirectory() as folder:
            candidate = Path(folder, path.name)
            candidate.write_text(content, encoding="utf-8")
            value = load(candidate)
            _keep(candidate, copy)
            return value, f"its content in commit {commit[:12]}"
    return None


def _committed(root: Path, path: Path) -> Iterator[tuple[str, str]]:
    """The latest commits that changed a file, with its content there."""
    place = path.absolute()
    if not place.is_relative_to(root.absolute()):
        return
    name = place.relative_to(root.absolute()).as_posix()
    git = Git(root)
    with suppress(FacemodelsError):
        for commit in git.text("log", f"-{_COMMITS}", "--format=%H", "--", name).split():
            content = git.file(commit, name)
            if content is not None:  # else the commit deleted it
                yield commit, content

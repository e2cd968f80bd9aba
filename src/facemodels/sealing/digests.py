"""Files and folders digested as DVC does, and what changed of them between two looks.

DVC's digest of a file is its MD5; of a folder, the MD5 of a JSON list of its files. A folder within
a folder is part of it, a link to a folder is not: DVC does not follow it.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from facemodels.files import write_text

CACHE = Path(".cache", "sealed", "digests.json")  # below the root
IGNORE = ".dvcignore"
_LARGE = 1 << 16  # bytes; smaller files are hashed sooner than looked up


class Stamp(NamedTuple):
    """What tells that a file was written, without a look into it.

    Attributes:
        size: in bytes.
        mtime_ns: of its content.
        inode: another one after a file was replaced.
        ctime_ns: of its entry, which no program can set back.
    """

    size: int
    mtime_ns: int
    inode: int
    ctime_ns: int


Stamps = dict[str, Stamp | None]  # of each file, by its path from the root; None: nothing is there


class Ignored:
    """The names that DVC leaves out of folders.

    Args:
        root: the folder of .dvcignore, of which only patterns of single names are read.
    """

    def __init__(self, root: Path) -> None:
        path = root / IGNORE
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        patterns = [line.strip().rstrip("/") for line in lines if not line.startswith("#")]
        self._patterns = [one for one in patterns if one and "/" not in one]
        self._plain = frozenset(one for one in self._patterns if not set(one) & set("*?["))
        self._globs = [one for one in self._patterns if one not in self._plain]

    def __contains__(self, name: str) -> bool:
        """Whether a file or folder of this name is left out."""
        return name in self._plain or any(fnmatch.fnmatchcase(name, one) for one in self._globs)


def look_at(root: Path, paths: Iterable[str], ignored: Ignored) -> Stamps:
    """Take the stamps of files, and of all files in folders.

    Args:
        root: the folder that the paths start from.
        paths: files and folders; they may be missing, or be links.
        ignored: names that folders are looked at without.
    """
    found: Stamps = {}
    for path in paths:
        found |= _look_at(os.path.normpath(root / path), os.path.normpath(path), ignored)
    return found


def _look_at(place: str, path: str, ignored: Ignored) -> Iterator[tuple[str, Stamp | None]]:
    try:
        entries = list(os.scandir(place))
    except (NotADirectoryError, FileNotFoundError):
        yield path, _stamp(place)
        return
    for entry in entries:
        if entry.name in ignored:
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _look_at(entry.path, f"{path}/{entry.name}", ignored)
        elif not entry.is_dir():
            yield f"{path}/{entry.name}", _stamp(entry.path)


def _stamp(place: str) -> Stamp | None:
    try:
        seen = os.stat(place)  # noqa: PTH116  (for each file of a dataset)
    except OSError:
        return None
    return Stamp(seen.st_size, seen.st_mtime_ns, seen.st_ino, seen.st_ctime_ns)


class Digests:
    """MD5 of files, remembered for large ones as long as size, time and inode are the same.

    Args:
        root: the folder that the paths start from.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[str, list[int | str]] = {}
        with suppress(OSError, ValueError):
            self._known = json.loads((root / CACHE).read_text(encoding="utf-8"))

    def of_files(self, stamps: Stamps) -> dict[str, str]:
        """The digest of each file that is there, by its path.

        Args:
            stamps: the files, with what they look like now.

        Raises:
            OSError: a file cannot be read.
        """
        there = {path: stamp for path, stamp in stamps.items() if stamp is not None}
        found = {path: known for path, stamp in there.items() if (known := self._find(path, stamp))}
        absent = [path for path in there if path not in found]
        large = [path for path in absent if there[path].size >= _LARGE]
        found |= {
            path: file_digest(self._root / path) for path in absent if there[path].size < _LARGE
        }
        if large:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                made = pool.map(lambda path: file_digest(self._root / path), large)
                found |= zip(large, made, strict=True)
            for path in large:
                self._known[path] = [*there[path][:3], found[path]]
            write_text(self._root / CACHE, json.dumps(self._known))
        return found

    def _find(self, path: str, stamp: Stamp) -> str | None:
        known = self._known.get(path)
        return str(known[3]) if known and known[:3] == list(stamp[:3]) else None


def file_digest(path: Path) -> str:
    """MD5 of a file, as DVC has it."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def digest_of(path: str, files: Mapping[str, str], *, folder: bool) -> str | None:
    """The digest of a dependency or output as dvc.lock has it; None if nothing is there.

    Args:
        path: the dependency or output.
        files: the digest of each file, by its path.
        folder: whether the path is that of a folder.
    """
    if not folder:
        return files.get(path)
    start = f"{path}/"
    entries = [
        {"md5": digest, "relpath": name[len(start) :]}
        for name, digest in files.items()
        if name.startswith(start)
    ]
    entries.sort(key=lambda entry: entry["relpath"])
    text = json.dumps(entries, sort_keys=True)
    return f"{hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()}.dir"

"""Files: checks of paths, atomic writes, SHA-256 of files and trees, canonical JSON and YAML."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from facemodels.errors import InputError

_READ_SIZE = 1 << 20  # bytes


def refuse_folder(path: Path, remedy: str = "Give a file.") -> None:
    """Check that `path` can be that of a file; nothing needs to lie there yet.

    Raises:
        InputError: `path` is a folder.
    """
    if _is_folder(path):
        raise InputError(f"{path} is a folder.", remedy)


def refuse_file(path: Path, remedy: str = "Give a folder.") -> None:
    """Check that `path` can be that of a folder; nothing needs to lie there yet.

    Raises:
        InputError: `path` is a file.
    """
    if _is_folder(path) is False:
        raise InputError(f"{path} is a file.", remedy)


def _is_folder(path: Path) -> bool | None:
    """Whether `path` is a folder; None if nothing is there, or it cannot be looked at."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (OSError, ValueError):
        return None


@contextmanager
def atomic_path(path: Path, *, mode: int = 0o644) -> Iterator[Path]:
    """Yield a temporary path beside `path` that replaces it when the block succeeds.

    The file is on disk (fsync) before it gets the name, so a crash leaves the old file or the new
    one, never a part of one. Until then only its owner can read it.

    Args:
        path: the file to replace.
        mode: the permissions of the new file.

    Raises:
        InputError: `path` is a folder, or its parent is a file.
    """
    refuse_folder(path)
    refuse_file(path.parent)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def announce_read(path: Path) -> str:
    """Say that a library is about to read a file from C, which Python's hooks do not see.

    A sealed stage learns of it (docs/sealed-stages.md).

    Returns:
        The path as text, as such libraries want it.
    """
    sys.audit("open", str(path), "rb", os.O_RDONLY)
    return str(path)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically; the folder is made if needed."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write `text` in UTF-8 to `path` atomically; the folder is made if needed."""
    write_bytes(path, text.encode())


def canonical_json(value: Any) -> str:
    """Format a value as JSON with sorted keys and a final newline: equal values, equal bytes.

    Raises:
        ValueError: the value contains NaN or an infinity, which JSON cannot express.
    """
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Write `value` as canonical JSON, atomically."""
    write_text(path, canonical_json(value))


def write_yaml(path: Path, value: Any) -> None:
    """Write `value` as YAML with keys in the order given, atomically."""
    write_text(path, yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100))


def sha256(path: Path) -> str:
    """Compute the SHA-256 of one file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_READ_SIZE):
            digest.update(block)
    return digest.hexdigest()


def list_files(folder: Path) -> list[str]:
    """List the paths of all files below `folder`, relative to it, with `/`, sorted."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir())


def sha256_tree(folder: Path) -> str:
    """Compute the SHA-256 over the names and contents of all files below `folder`, in hex."""
    digest = hashlib.sha256()
    for name in list_files(folder):
        digest.update(f"{sha256(folder / name)}  {name}\n".encode())
    return digest.hexdigest()

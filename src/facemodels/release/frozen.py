"""Keeps a released version beside the next one: its `.dvc` file, and its released bytes."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from facemodels import dvc_files
from facemodels.errors import InputError
from facemodels.git import Git
from facemodels.registry.state import Entry

_KEYS = ("md5", "size", "nfiles", "hash", "path")  # in DVC's own order


def read_dvc_file(git: Git, commit: str, path: str) -> str:
    """Make the text of the `.dvc` file that keeps a package as it was at a commit.

    Raises:
        InputError: DVC did not track the package at that commit.
    """
    out = dvc_files.find_output(dvc_files.read_lock(git, commit), path)
    if out is not None:
        return dvc_file_text(out)
    text = git.file(commit, f"{path}.dvc")
    if text is None:
        raise InputError(
            f"DVC did not track {path} at commit {commit[:10]}.",
            "See `facemodels registry info`: the version was registered without its weights.",
        )
    return text


def dvc_file_text(out: dict[str, Any]) -> str:
    """Turn the entry of an output of dvc.lock into a `.dvc` file; nothing is copied or hashed."""
    entry = {**out, "path": PurePosixPath(out["path"]).name}
    ordered = {key: entry[key] for key in _KEYS if key in entry}
    rest = {key: value for key, value in entry.items() if key not in ordered}
    return yaml.safe_dump({"outs": [{**ordered, **rest}]}, sort_keys=False, width=4096)


def ignore(text: str, *, add: Iterable[str] = (), drop: Iterable[str] = ()) -> str:
    """Add names to the text of a .gitignore, and remove names from it.

    Args:
        text: the text of the .gitignore.
        add: the names of folders beside it that are appended, unless they are there.
        drop: the names of folders beside it that are removed.
    """
    dropped = {f"/{name}" for name in drop}
    lines = [line for line in text.splitlines() if line not in dropped]
    lines += [f"/{name}" for name in add if f"/{name}" not in lines]
    return "".join(f"{line}\n" for line in lines)


def restore(root: Path, entry: Entry, path: str) -> bool:
    """Put the released package into the workspace, unless it is there.

    The bytes come from DVC's cache, or from the remotes that are configured now.

    Returns:
        Whether the package was put there.

    Raises:
        IntegrityError: the package that DVC gives is not the one that was registered.
        ToolError: neither the cache nor a remote has it.
    """
    from facemodels.files import list_files
    from facemodels.registry.packages import obtain

    here = root / path
    with obtain(root, entry) as package:
        if package.folder.resolve() == here.resolve():
            return False
        scratch = root / ".dvc" / "tmp" / f"{here.name}.part"
        shutil.rmtree(scratch, ignore_errors=True)
        for name in list_files(package.folder):
            target = scratch / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(package.folder / name, target)
    if here.exists():
        shutil.rmtree(here)
    here.parent.mkdir(parents=True, exist_ok=True)
    scratch.rename(here)
    return True

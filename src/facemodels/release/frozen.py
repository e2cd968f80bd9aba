"""A released version beside the next one: a `.dvc` file, and the released bytes."""

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


def pointer(git: Git, commit: str, path: str) -> str:
    """The text of the `.dvc` file that keeps a package as it was at a commit.

    Raises:
        InputError: DVC did not track it there.
    """
    out = dvc_files.find_output(dvc_files.read_lock(git, commit), path)
    if out is not None:
        return pointer_text(out)
    text = git.file(commit, f"{path}.dvc")
    if text is None:
        raise InputError(
            f"DVC did not track {path} at commit {commit[:10]}.",
            "See `facemodels registry info`: the version was registered without its weights.",
        )
    return text


def pointer_text(out: dict[str, Any]) -> str:
    """An output of dvc.lock as a `.dvc` file: no byte is copied or hashed for it."""
    entry = {**out, "path": PurePosixPath(out["path"]).name}
    ordered = {key: entry[key] for key in _KEYS if key in entry}
    rest = {key: value for key, value in entry.items() if key not in ordered}
    return yaml.safe_dump({"outs": [{**ordered, **rest}]}, sort_keys=False, width=4096)


def ignore(text: str, *, add: Iterable[str] = (), drop: Iterable[str] = ()) -> str:
    """The text of a .gitignore that names folders beside it, in the order they came."""
    dropped = {f"/{name}" for name in drop}
    lines = [line for line in text.splitlines() if line not in dropped]
    lines += [f"/{name}" for name in add if f"/{name}" not in lines]
    return "".join(f"{line}\n" for line in lines)


def restore(root: Path, entry: Entry, path: str) -> bool:
    """Put the released bytes into the workspace, unless they are there; tell whether it did.

    They come from DVC's cache, or from the remotes of today.

    Raises:
        IntegrityError: what DVC gives is not what was registered.
        ToolError: nobody has it.
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

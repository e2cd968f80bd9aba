"""Runs DVC as a program to build and push, and asks the remote which objects it lacks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from facemodels.errors import ToolError

_MENTIONABLE = ("modified", "new")  # a folder that was only not pulled is "deleted"


def run(root: Path, *arguments: str) -> None:
    """Run DVC. Its output goes to standard error; standard output is for results only.

    Raises:
        ToolError: DVC failed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=root, env=_environment(), stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise ToolError(f"`dvc {' '.join(arguments)}` failed.", "It says why above.")


def stale(root: Path, stages: Sequence[str]) -> list[str]:
    """List the dependencies of stages that differ from dvc.lock, as `<stage>: <path>`.

    Raises:
        ToolError: DVC cannot say.
    """
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "status", "--json", *stages],
        cwd=root, env=_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise ToolError(f"`dvc status` failed: {done.stderr.strip()}", "Settle that first.")
    return [
        f"{stage}: {name}"
        for stage, entries in json.loads(done.stdout or "{}").items()
        for name in _changed(entries)
    ]


def _changed(entries: Iterable[Any]) -> Iterable[str]:
    for entry in entries:
        if isinstance(entry, str):
            yield entry  # "changed command"
            continue
        for path, what in entry.get("changed deps", {}).items():
            if not isinstance(what, str) or what in _MENTIONABLE:
                yield path


def _environment() -> dict[str, str]:
    """The environment of this process, with the running Python first in PATH for the stages."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "true"}


def missing_on_remote(root: Path, digests: Sequence[str]) -> list[str]:
    """List the objects of tracked folders that the default remote does not have.

    The remote itself is asked for every object. `dvc push` trusts its own index and says
    "Everything is up to date" even if an object was deleted from the remote.

    Args:
        root: the folder of the repository.
        digests: the digests of the folders in dvc.lock.

    Raises:
        ToolError: the remote cannot be asked.
    """
    from dvc.config import ConfigError
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(root)) as repo:
            remote = repo.cloud.get_remote_odb()
            wanted = [oid for digest in digests for oid in _objects(repo, remote, digest)]
            return [oid for oid in wanted if not remote.exists(oid)]
    except (DvcException, ConfigError, OSError) as error:
        raise ToolError(
            f"The DVC remote cannot be asked what it has: {error}.",
            "No tag was made. Check `dvc remote list` and your access, and run it again.",
        ) from error


def _objects(repo: Any, remote: Any, digest: str) -> list[str]:
    """The ids of a folder and of its files; the list is read from the cache or the remote."""
    if not digest.endswith(".dir"):
        return [digest]
    for store in (repo.cache.local, remote):
        if store.exists(digest):
            path = store.oid_to_path(digest)
            listed = json.loads(store.fs.cat_file(path))
            return [digest, *(item["md5"] for item in listed)]
    return [digest]

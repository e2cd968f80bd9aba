"""Runs DVC as a program to build and push, and asks the remote which objects it lacks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from facemodels.errors import InputError, ToolError
from facemodels.git import clean_environment

# How the lines begin in which DVC advises what to do next (repo/scm_context.py, commands/repro.py).
_ADVICE = (
    "To track the changes with git", "\tgit add ", "To enable auto staging",
    "\tdvc config core.autostage", "Use `dvc push`",
)  # fmt: skip
_MENTIONABLE = ("modified", "new")  # a folder that was only not pulled is "deleted"


def run(root: Path, *arguments: str) -> None:
    """Run DVC. Its output goes to standard error; standard output is for results only.

    What DVC advises to do next is left out: the steps of a release do it.

    Raises:
        ToolError: DVC failed.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=root, env={**_environment(), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace",
    ) as process:  # fmt: skip
        for line in process.stdout or ():
            if line.strip() and not line.startswith(_ADVICE):
                sys.stderr.write(line)
                sys.stderr.flush()
    if process.returncode != 0:
        raise ToolError(f"`dvc {' '.join(arguments)}` failed.", "It says why above.")


def stale(root: Path, stages: Sequence[str]) -> list[str]:
    """List the dependencies of stages that differ from dvc.lock, as `<stage>: <path>`.

    `dvc status STAGE…` would read dvc.lock once for each of them, 0.4 s a time.

    Raises:
        ToolError: DVC cannot say.
    """
    from dvc.dvcfile import PROJECT_FILE, load_file
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    found = []
    try:
        with Repo(str(root)) as repo, repo.lock:
            known = load_file(repo, str(root / PROJECT_FILE)).stages
            for name in stages:
                for entries in known[name].status(check_updates=True).values():
                    found += [f"{name}: {changed}" for changed in _changed(entries)]
    except DvcException as error:
        raise ToolError(f"`dvc status` failed: {error}", "Settle that first.") from error
    return found


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
    return {**clean_environment(), "PATH": path, "DVC_NO_ANALYTICS": "true"}


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
    from facemodels.storage.stores.objects import with_children
    from facemodels.storage.stores.stores import Stores

    try:
        stores = Stores(root)
        remote = stores.remote()
        wanted = with_children(digests, [stores.cache, remote])
        return [oid for oid in sorted(wanted) if remote.size(oid) is None]
    except (InputError, ToolError) as error:
        raise ToolError(
            f"The DVC remote cannot be asked what it has: {error.what.rstrip('.')}.",
            "No tag was made. Check `dvc remote list` and your access, and run it again.",
        ) from error

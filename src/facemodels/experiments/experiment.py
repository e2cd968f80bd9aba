"""One experiment of DVC, and the job that runs it in a clone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from facemodels.errors import ToolError
from facemodels.git import Git, clean_environment, kill_tree


@dataclass(frozen=True)
class Experiment:
    """What a job runs.

    Attributes:
        name: of the experiment, and of the job's folder.
        repository: the clone that asks, and gets the reference; all nodes see it.
        commit: the commit that is run.
        changes: of parameters, as `dvc exp run -S` takes them.
        targets: stages; none for all.
        ignore_errors: as `dvc exp run --ignore-errors`: what misses a gate is kept all the same.
    """

    name: str
    repository: str
    commit: str
    changes: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    ignore_errors: bool = False

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The experiment of values that were read from JSON, which has lists for tuples."""
        return cls(**{**values, **{key: tuple(values[key]) for key in ("changes", "targets")}})

    @property
    def folder(self) -> Path:
        """Where the job keeps its clone, its records and its logs."""
        return folder_of_jobs(Path(self.repository)) / self.name


def folder_of_jobs(repository: Path) -> Path:
    """The folder of a repository with a folder for each job."""
    return repository / ".cache" / "experiments"


def run(experiment: Experiment) -> None:
    """Run an experiment in a clone, and push its reference to who asked.

    The clone shares the cache of the repository, so no output is copied. It is removed at the end.

    Raises:
        ToolError: a command of Git or DVC failed; its output is in the job's log.
    """
    repository, clone = Path(experiment.repository), experiment.folder / "clone"
    shutil.rmtree(clone, ignore_errors=True)  # of a job that Slurm started again
    try:
        Git(repository).raw("clone", "--quiet", "--no-checkout", str(repository), str(clone))
        Git(clone).raw("checkout", "--quiet", "--detach", experiment.commit)
        local = repository / ".dvc" / "config.local"
        if local.is_file():
            shutil.copy(local, clone / ".dvc")
        _dvc(clone, "cache", "dir", "--local", str(repository / ".dvc" / "cache"))
        changes = [word for change in experiment.changes for word in ("--set-param", change)]
        options = [*changes, *(["--ignore-errors"] if experiment.ignore_errors else ())]
        # --pull would ask the remote for each output of every stage that is to run anyway.
        _dvc(clone, "checkout", "--allow-missing", "--force")
        _dvc(clone, "exp", "run", "--name", experiment.name, *options, *experiment.targets)
        _dvc(clone, "exp", "push", "--no-cache", "origin", experiment.name)
    finally:
        shutil.rmtree(clone, ignore_errors=True)


def _dvc(clone: Path, *arguments: str) -> None:
    """Run DVC in the clone, with the clone's own code and this interpreter's programs."""
    environment = clean_environment()
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    environment["PYTHONPATH"] = str(clone / "src")
    command = [sys.executable, "-m", "dvc", *arguments]
    with subprocess.Popen(command, cwd=clone, env=environment) as process:
        try:
            code = process.wait()
        except BaseException:
            kill_tree(process.pid)
            raise
    if code:
        raise ToolError(f"dvc {' '.join(arguments[:2])} ended with code {code}.")

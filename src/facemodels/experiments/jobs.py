"""Jobs of experiments: submitted, listed, read and cancelled. The records are files."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import psutil

from facemodels.errors import InputError, ToolError
from facemodels.experiments.experiment import Experiment, folder_of_jobs
from facemodels.experiments.start import ASKED, SUBMITTED
from facemodels.files import write_json
from facemodels.git import Git, clean_environment, kill_tree

Cluster = Literal["local", "slurm"]
_CANCELLED = "cancelled"  # a file in the job's folder
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True)
class JobRecord:
    """A job that was submitted.

    Attributes:
        experiment: what it runs.
        cluster: where.
        job: its number there: of a process, or Slurm's.
        host: the machine that submitted it; a local job runs there.
    """

    experiment: Experiment
    cluster: Cluster
    job: str
    host: str


def submit(
    repository: Path,
    name: str,
    *,
    cluster: Cluster,
    changes: Sequence[str],
    targets: Sequence[str],
    resources: Mapping[str, Any],
    ignore_errors: bool = False,
) -> JobRecord:
    """Submit an experiment on the commit that is checked out.

    Args:
        repository: the root of the clone that asks.
        name: of the experiment: small letters, digits and dashes.
        cluster: local or slurm.
        changes: of parameters, as `dvc exp run -S` takes them.
        targets: stages; none for all.
        resources: parameters of submitit's executor, such as `timeout_min`.
        ignore_errors: keep the experiment even if a stage fails, as one does that misses a gate.

    Raises:
        InputError: submitit is missing, the name is taken or none, or files that Git tracks have
            changes, which no clone would have.
        ToolError: the cluster refuses.
    """
    if find_spec("submitit") is None:
        raise InputError("submitting needs submitit.", "pip install 'facemodels[slurm]'")
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r} is no name of an experiment.", "Use a-z, 0-9 and dashes.")
    git = Git(repository)
    if changed := git.text("status", "--porcelain", "--untracked-files=no"):
        raise InputError(
            f"a job clones the last commit, and {changed.splitlines()[0].split()[-1]} has changes "
            "since.",
            "Commit them, or `git stash`.",
        )
    commit = git.commit("HEAD")
    experiment = Experiment(
        name, str(repository), commit, tuple(changes), tuple(targets), ignore_errors
    )
    folder = experiment.folder
    if folder.exists():
        raise InputError(f"{folder} is of a job of this name.", "Choose another --name.")
    folder.mkdir(parents=True)
    asked = {"experiment": asdict(experiment), "cluster": cluster, "resources": dict(resources)}
    write_json(folder / ASKED, asked)
    try:
        _start(folder)
        return record(repository, name)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _start(folder: Path) -> None:
    """Submit in a session of its own, whose files and signals a local job inherits."""
    with (folder / "submission.log").open("wb") as log:
        done = subprocess.run(
            [sys.executable, "-m", "facemodels.experiments.start", str(folder)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True, check=False, env=clean_environment(),
        )  # fmt: skip
    if done.returncode:
        said = (folder / "submission.log").read_text(encoding="utf-8").strip().splitlines()
        raise ToolError(f"the job was not taken: {said[-1] if said else 'no message'}")


def records(repository: Path) -> list[JobRecord]:
    """All jobs of a repository, by name."""
    folders = sorted(folder_of_jobs(repository).glob(f"*/{SUBMITTED}"))
    return [record(repository, path.parent.name) for path in folders]


def record(repository: Path, name: str) -> JobRecord:
    """The job of an experiment.

    Raises:
        InputError: there is none.
    """
    folder = folder_of_jobs(repository) / name
    try:
        asked = json.loads((folder / ASKED).read_text(encoding="utf-8"))
        submitted = json.loads((folder / SUBMITTED).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{repository} has no job {name!r}.", "facemodels exp list names them."
        ) from error
    experiment = Experiment.of(asked["experiment"])
    return JobRecord(experiment, asked["cluster"], submitted["job"], submitted["host"])


def state_of(one: JobRecord) -> str:
    """`running`, `done`, `failed`, `cancelled`, `lost`; while Slurm has it, a word of Slurm's."""
    if (one.experiment.folder / _CANCELLED).exists():
        return "cancelled"
    job = _handle(one)
    if job.paths.result_pickle.exists():
        return "failed" if job.exception() else "done"
    if one.cluster == "slurm":
        return str(job.state).lower()
    if one.host != socket.gethostname():
        return f"on {one.host}"
    return "running" if _process(one) else "lost"


def log_of(one: JobRecord) -> str:
    """What the job has written so far: standard output, then standard error."""
    paths = _handle(one).paths
    return "".join(
        path.read_text(encoding="utf-8", errors="replace")
        for path in (paths.stdout, paths.stderr)
        if path.exists()
    )


def cancel(one: JobRecord) -> None:
    """End a job with all its processes, and remove its clone.

    Raises:
        InputError: it is no longer running, or runs on another machine.
    """
    state = state_of(one)
    if state in ("done", "failed", "cancelled", "lost"):
        raise InputError(f"the job {one.experiment.name} is {state}.")
    process = _process(one) if one.cluster == "local" else None
    if one.cluster == "slurm":
        _handle(one).cancel()
    elif process is not None:
        kill_tree(process.pid)
    else:
        raise InputError(f"the job {one.experiment.name} runs on {one.host}.", "Cancel it there.")
    (one.experiment.folder / _CANCELLED).touch()
    shutil.rmtree(one.experiment.folder / "clone", ignore_errors=True)


def _process(one: JobRecord) -> psutil.Process | None:
    """The process of a local job; its number may be another process's by now."""
    try:
        process = psutil.Process(int(one.job))
        ours = str(one.experiment.folder) in process.cmdline()
        return process if ours and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None


def _handle(one: JobRecord) -> Any:
    from submitit import LocalJob, SlurmJob

    kind = LocalJob if one.cluster == "local" else SlurmJob
    return kind(folder=one.experiment.folder, job_id=one.job)

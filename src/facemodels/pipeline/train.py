"""Train: prepared data and parameters to weights with their history."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import facemodels
from facemodels import determinism
from facemodels.architecture.contract import TrainJob
from facemodels.cores import usable_cores
from facemodels.data.shards import INDEX, check_shards
from facemodels.errors import InputError
from facemodels.files import canonical_json, list_files, sha256, write_json, write_yaml
from facemodels.models import AnyArchitecture
from facemodels.package.load import Package, open_package
from facemodels.progress import progress
from facemodels.training.curves import curves
from facemodels.training.launch import Launched, launched
from facemodels.training.settings import TrainingSettings

CHECKPOINTS = Path(".cache", "checkpoints")


def train(
    architecture: AnyArchitecture,
    settings: TrainingSettings,
    *,
    data: Path,
    output: Path,
    curves_folder: Path,
    checkpoints: Path = CHECKPOINTS,
    workers: int = 0,
) -> bool:
    """Train an architecture; a killed training resumes when it is called again.

    Where a launcher started several processes, all of them call this and share the work; that of
    rank 0 alone writes.

    Writes the weights, config.yaml (what it takes to load them) and training.json (where
    they come from) to `output`, and the curves to `curves_folder`. The checkpoint lies
    under a key made of code, data and parameters, so that no other training resumes it.

    Args:
        architecture: the architecture with its `network` parameters.
        settings: its parsed `train` parameters.
        data: the prepared data of the task.
        output: the folder that gets the weights and their records.
        curves_folder: the folder that gets the curves.
        checkpoints: the folder that holds the checkpoints of all trainings.
        workers: processes that share the work, no part of the result; 0: one for each core.
            Processes that a launcher started make no others.

    Returns:
        Whether this is the process that wrote.
    """
    config = {
        "task": architecture.task,
        "architecture": architecture.name,
        "network": architecture.network.model_dump(mode="json"),
    }
    initial = architecture.initial_weights(settings)
    teacher = _other(architecture, architecture.teacher(settings), "losses.distillation.teacher")
    kept = _other(architecture, architecture.compatible_with(settings), "compatible_with")
    provenance = {
        # What `pretrained` stands for counts only if training starts from it; see below.
        "hyperparameters": settings.model_dump(mode="json", exclude={"pretrained"}),
        "data": f"sha256:{data_digest(data)}",
        "threads": settings.threads,
        "determinism": determinism.record(),
        "origin": "imported" if architecture.is_imported(settings) else "trained",
        "initial_weights": dict(initial.record) if initial else None,
        "versions": {
            package: version(package)
            for package in sorted({*architecture.training_requirements, "numpy"})
        },
    }
    if teacher is not None:
        provenance["teacher"] = _record(teacher)
    if kept is not None:
        space = kept.metadata["embedding_space"]
        provenance["compatible_with"] = {**_record(kept), "embedding_space": space}
    key = hashlib.sha256(canonical_json([config, provenance, _code_digest()]).encode()).hexdigest()[
        :24
    ]
    job = TrainJob(
        data=data,
        output=output,
        checkpoint=checkpoints / key / "checkpoint.pt",
        advance=lambda units: None,
        log=lambda record: None,
        workers=_workers(workers),
        teacher=teacher.predictor(threads=1) if teacher else None,
        compatible=kept.predictor(threads=1) if kept else None,
    )
    with launched() as process:
        process.require_same(key)
        if not process.leads:
            _help(architecture, settings, job, process)
            return False
        process.share_file(job.checkpoint)
        output.mkdir(parents=True, exist_ok=True)
        with (
            progress(f"train {architecture.name}", architecture.units(settings)) as advance,
            curves(curves_folder) as log,
        ):
            architecture.train(settings, replace(job, advance=advance, log=log))
        write_yaml(output / "config.yaml", config)
        write_json(output / "training.json", provenance)
        shutil.rmtree(checkpoints / key, ignore_errors=True)
    return True


def _help(
    architecture: AnyArchitecture, settings: TrainingSettings, job: TrainJob, process: Launched
) -> None:
    """Work with the process that leads; what that one writes goes into a folder of no interest."""
    with tempfile.TemporaryDirectory(prefix="facemodels-") as scratch:
        mine = replace(job, output=Path(scratch), checkpoint=Path(scratch, "checkpoint.pt"))
        if job.checkpoint.exists():
            mine.checkpoint.symlink_to(job.checkpoint.absolute())
        process.share_file(mine.checkpoint)
        if architecture.shares_steps:
            architecture.train(settings, mine)


def _workers(wanted: int) -> int:
    """Processes of a training: portably one thread each; else `train.threads` share the work."""
    if determinism.settled() == "machine":
        return 1
    return wanted or usable_cores()


def _other(architecture: AnyArchitecture, folder: Path | None, setting: str) -> Package | None:
    """Open the package that a training learns from.

    Args:
        architecture: what is trained.
        folder: the folder of the package; None where the training needs none.
        setting: the key of `train` that names it.

    Raises:
        InputError: there is no package, or it is of another task.
        IntegrityError: it is not what its checksums say.
    """
    if folder is None:
        return None
    package = open_package(folder)
    if package.task != architecture.task:
        raise InputError(
            f"{folder} is a model of {package.task}, and the network learns {architecture.task}.",
            f"Set train.{setting} to a package of the same task.",
        )
    return package


def _record(package: Package) -> dict[str, str]:
    return {"id": str(package.id), "digest": f"sha256:{package.digest}"}


def data_digest(data: Path) -> str:
    """Return the SHA-256 of the arrays that training sees, by split and file.

    Of shards it is that of their index, wherever they lie.

    Raises:
        IntegrityError: a shard is not what its index says.
    """
    digest = hashlib.sha256()
    for split in ("train", "val"):
        sharded = {path.parent for path in (data / split).glob(f"*/{INDEX}")}
        for folder in sorted(sharded):
            check_shards(folder)
        for name in list_files(data / split):
            path = data / split / name
            if path.parent not in sharded or path.name == INDEX:
                digest.update(f"{split}/{name} {sha256(path)}\n".encode())
    return digest.hexdigest()


def _code_digest() -> str:
    """Return the SHA-256 of our own source, since other code may train otherwise."""
    root = Path(facemodels.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root)} {sha256(path)}\n".encode())
    return digest.hexdigest()

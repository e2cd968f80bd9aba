"""Train: prepared data and parameters to weights with their history."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import facemodels
from facemodels.files import canonical_json, sha256, write_json, write_yaml
from facemodels.models import architecture
from facemodels.progress import progress
from facemodels.training.curves import curves
from facemodels.training.job import TrainJob

CHECKPOINTS = Path(".cache", "checkpoints")


def train(
    *,
    task: str,
    name: str,
    network: Mapping[str, Any],
    hyperparameters: Mapping[str, Any],
    data: Path,
    output: Path,
    curves_folder: Path,
    checkpoints: Path = CHECKPOINTS,
) -> None:
    """Train an architecture; a killed training resumes when it is called again.

    Writes the weights, config.yaml (what it takes to load them) and training.json (where
    they come from) to `output`, and the curves to `curves_folder`. The checkpoint lies
    under a key made of code, data and parameters, so that no other training resumes it.
    """
    implementation = architecture(task, name)
    provenance = {
        "hyperparameters": dict(hyperparameters),
        "data": f"sha256:{data_digest(data)}",
        "threads": hyperparameters.get("threads"),
        "versions": {
            package: version(package)
            for package in sorted({*implementation.TRAINING_REQUIREMENTS, "numpy"})
        },
    }
    key = hashlib.sha256(
        canonical_json([task, name, dict(network), provenance, _code_digest()]).encode()
    ).hexdigest()[:24]
    output.mkdir(parents=True, exist_ok=True)
    total = implementation.units(hyperparameters)
    with (
        progress(f"train {name}", total) as advance,
        curves(curves_folder) as log,
    ):
        job = TrainJob(
            data=data,
            network=network,
            train=hyperparameters,
            output=output,
            checkpoint=checkpoints / key / "checkpoint.pt",
            advance=advance,
            log=log,
        )
        implementation.train(job)
    config = {"task": task, "architecture": name, "network": dict(network)}
    write_yaml(output / "config.yaml", config)
    write_json(output / "training.json", provenance)
    shutil.rmtree(checkpoints / key, ignore_errors=True)


def data_digest(data: Path) -> str:
    """SHA-256 of the arrays that training sees, by split and file."""
    digest = hashlib.sha256()
    for split in ("train", "val"):
        for name in ("images.npy", "labels.npz"):
            digest.update(f"{split}/{name} {sha256(data / split / name)}\n".encode())
    return digest.hexdigest()


def _code_digest() -> str:
    """SHA-256 of our own source: other code may train otherwise."""
    root = Path(facemodels.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root)} {sha256(path)}\n".encode())
    return digest.hexdigest()

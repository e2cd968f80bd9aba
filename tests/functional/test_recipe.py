"""CONTRIBUTING's recipe "Adding an architecture", followed to the letter in a clone."""

from __future__ import annotations

import json

import pytest
import yaml

from .conftest import BESIDE, SMOKE, Clone, stages_run

pytestmark = pytest.mark.timeout(1500)

NAME = "landmark-meanshape"
MODULE = "src/facemodels/landmarks/meanshape.py"
# Step 1: one module with one subclass of Architecture.
SOURCE = '''"""The mean shape of the training faces, placed in the box."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemodels import imaging
from facemodels.architecture.contract import Architecture, Interface, TrainJob
from facemodels.data.splits import LandmarkSplit
from facemodels.errors import FacemodelsError
from facemodels.files import write_text
from facemodels.params import Frozen
from facemodels.training.settings import TrainingSettings


class MeanShapeNetwork(Frozen):
    """The shape of the model."""

    decimals: int


class MeanShape:
    """Puts one shape into every box."""

    def __init__(self, shape: NDArray[np.float32]) -> None:
        self.shape = shape

    def fit(
        self, images: Sequence[NDArray[np.uint8]], boxes: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        corner, size = boxes[:, None, :2], (boxes[:, 2:] - boxes[:, :2])[:, None]
        bright = [imaging.as_rgb(image).mean() / 255 for image in images]  # moves the points a bit
        shift = 0.01 * np.array(bright, np.float32)[:, None, None]
        return np.asarray(corner + (self.shape[None] + shift) * size, np.float32)


class MeanShapeArchitecture(Architecture[MeanShapeNetwork, TrainingSettings]):
    """Learns the mean shape."""

    task, name, title = "landmarks", "meanshape", "Mean shape"
    framework, framework_package = "numpy", "numpy"
    weights_file = "model.dat"
    runtimes = ("native",)
    requirements = ("numpy",)
    network_type = MeanShapeNetwork
    training_type = TrainingSettings

    def units(self, settings: TrainingSettings) -> int:
        return 1

    def budget(self, settings: TrainingSettings, *, epochs: int, images: int) -> TrainingSettings:
        raise FacemodelsError("the mean has no epochs.", "Leave --epochs out.")

    def train(self, settings: TrainingSettings, job: TrainJob) -> None:
        shape = np.round(_shapes(job.data).mean(axis=0), self.network.decimals)
        write_text(job.output / self.weights_file, json.dumps(shape.tolist()))
        job.advance(1)
        job.log({"step": 1.0, "loss": 0.0})

    def interface(self) -> Interface:
        return Interface(input_shape=(0, 0, 3), output_shape=(68, 2))

    def preprocessing(self) -> dict[str, Any]:
        return {"color": "RGB"}

    def load(self, weights: Path, *, threads: int) -> MeanShape:
        return MeanShape(np.array(json.loads(weights.read_text()), np.float32))

    def untrained(self, data: Path, *, seed: int) -> MeanShape:
        return MeanShape(np.full((68, 2), 0.5, np.float32))


def _shapes(data: Path) -> NDArray[np.float32]:
    split = LandmarkSplit.load(data / "train")
    corner, opposite = split.boxes[:, None, :2], split.boxes[:, None, 2:]
    return np.asarray((split.points - corner) / (opposite - corner), np.float32)
'''


def add_by_the_recipe(clone: Clone) -> None:
    """Steps 1 and 2: a module, a conf file, and its line in the list of conf/config.yaml."""
    (clone.folder / MODULE).write_text(SOURCE)
    card = yaml.safe_load(clone.read("conf/model/landmark-dlib.yaml"))
    card |= {
        "name": NAME,
        "architecture": "meanshape",
        "code": MODULE,
        "package": "models/landmarks/meanshape-v${.version}",
        "network": {"decimals": 6},
        "train": {"seed": 1, "threads": 1},
        "gates": {"nme": {"max": 9.0}},
    }
    conf = f"# @package models.{NAME}\n{yaml.safe_dump(card, sort_keys=False)}"
    (clone.folder / f"conf/model/{NAME}.yaml").write_text(conf)
    listed = clone.read("conf/config.yaml")
    last = "      - landmark-dlib\n"
    assert last in listed
    config = listed.replace(last, f"{last}      - {NAME}\n")
    (clone.folder / "conf/config.yaml").write_text(config)


def test_an_architecture_added_by_the_recipe_is_a_candidate_beside_the_others(small: Clone) -> None:
    before = {*small.run("git", "ls-files").stdout.split()}
    add_by_the_recipe(small)
    added = small.run("git", "status", "--porcelain", "--untracked-files=all").stdout
    new = {line[3:] for line in added.splitlines() if line.startswith("??")}
    edited = {line[3:] for line in added.splitlines() if line.startswith(" M")}
    assert new == {MODULE, f"conf/model/{NAME}.yaml"}  # one module, one conf file
    assert edited == {"conf/config.yaml"}
    assert not before & new
    small.run(
        "facemodels", "params", SMOKE
    )  # step 3: `make params`, with small parameters for the others
    ran = stages_run(small.run("dvc", "repro", "compare@landmarks").stdout)
    steps = ("train", "validate", "package", "benchmark")
    assert {f"{step}@{NAME}" for step in steps} | {"compare@landmarks"} <= set(ran)
    assert f"train@{BESIDE}" not in ran
    report = json.loads(small.read("reports/compare/landmarks.json"))
    assert "lmk-meanshape-v1.0.0" in json.dumps(report)
    small.run("facemodels", "verify", "models/landmarks/meanshape-v1.0.0")

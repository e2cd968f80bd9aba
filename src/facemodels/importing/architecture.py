"""What stands for the architecture of a model whose network is known as a graph alone."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from facemodels.architecture.contract import (
    Architecture,
    ExportedGraphs,
    Interface,
    Predictor,
    TrainJob,
)
from facemodels.errors import FacemodelsError
from facemodels.package.verify import ONNX
from facemodels.params import Frozen
from facemodels.training.initial_weights import InitialWeights
from facemodels.training.settings import TrainingSettings

DETECTOR = "detector"  # the name of a detector's one graph


class ImportedNetwork(Frozen):
    """The graph is the network, so there is nothing to set."""


@dataclass(frozen=True)
class Described:
    """What an imported graph is.

    Attributes:
        task: `recognition` or `detection`.
        name: the name in the model's name, for example `x` of `recognition-x`.
        title: the architecture's own name, as the importer gives it.
        interface: the shapes that a user of the model sees.
        preprocessing: how an image becomes an input, for config.yaml.
        decode: of a detector: the `name` of the steps behind the graph, and their values.
        max_abs_error: between ONNX Runtime and the framework that the graph was exported from.
    """

    task: str
    name: str
    title: str
    interface: Interface
    preprocessing: Mapping[str, Any]
    decode: Mapping[str, Any] | None = None
    max_abs_error: float = 0.0


class ImportedGraph(Architecture[ImportedNetwork, TrainingSettings]):
    """The common part of all imported models; `architecture_of` makes a class for each."""

    framework = "onnx"
    framework_package = "onnx"
    weights_file = ONNX
    requirements = ("numpy", "onnxruntime", "pillow", "PyYAML")
    network_type = ImportedNetwork
    training_type = TrainingSettings
    described: Described

    def is_imported(self, settings: TrainingSettings) -> bool:
        """Return True: nothing is ever trained."""
        return True

    def initial_weights(self, settings: TrainingSettings) -> InitialWeights | None:
        """Return None; the package's metadata says where the graph comes from."""
        return None

    def units(self, settings: TrainingSettings) -> int:
        """Return 0."""
        return 0

    def budget(self, settings: TrainingSettings, *, epochs: int, images: int) -> TrainingSettings:
        """Refuse; see `train`."""
        raise _not_trained(self.name)

    def train(self, settings: TrainingSettings, job: TrainJob) -> None:
        """Refuse: a graph has no layers that could be trained.

        Raises:
            FacemodelsError: always.
        """
        raise _not_trained(self.name)

    def untrained(self, data: Path, *, seed: int) -> Predictor:
        """Refuse; see `train`."""
        raise _not_trained(self.name)

    def load(self, weights: Path, *, threads: int) -> Predictor:
        """Refuse: `Package.predictor` runs the graph."""
        raise _not_trained(self.name)

    def interface(self) -> Interface:
        """Return the shapes that a user of the model sees."""
        return self.described.interface

    def preprocessing(self) -> dict[str, Any]:
        """Return how an image becomes an input, as the importer stated it."""
        return dict(self.described.preprocessing)

    def postprocessing(self) -> dict[str, Any] | None:
        """Return that `decode` names the steps of a detector; else None."""
        return None if self.described.decode is None else {"output": "by the steps of `decode`"}

    def export(self, weights: Path, path: Path) -> float:
        """Leave the graph where it is: the weights of the package are the graph."""
        if weights != path:
            shutil.copyfile(weights, path)
        return self.described.max_abs_error

    def export_graphs(self, weights: Path, folder: Path) -> ExportedGraphs:
        """Name the graph and the steps behind it."""
        return ExportedGraphs({DETECTOR: weights.name}, dict(self.described.decode or {}), 0.0)

    def example(self) -> str | None:
        """Return the task's example; None for a detector, whose steps are facemodels' own."""
        if self.described.decode is not None:
            return None
        folder = resources.files(f"facemodels.{self.task}")
        return folder.joinpath("example.py").read_text("utf-8")


def architecture_of(described: Described) -> ImportedGraph:
    """Make the architecture of one imported model."""
    values = {
        "__doc__": f"{described.title}, imported.",
        "task": described.task,
        "name": described.name,
        "title": described.title,
        "runtimes": ("graphs",) if described.decode is not None else ("onnx",),
        "described": described,
    }
    made: type[ImportedGraph] = type("ImportedGraph", (ImportedGraph,), values)
    return made(ImportedNetwork())


def _not_trained(name: str) -> FacemodelsError:
    return FacemodelsError(
        f"{name} was imported as a graph, which has no layers to train.",
        "Write its architecture, and give its weights to `train.init`; see CONTRIBUTING.md.",
    )

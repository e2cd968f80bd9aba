"""From a model's task and architecture to the module that implements it.

There is no list to keep: an architecture is the module
`facemodels.<task>.<architecture>` with the functions of `Architecture`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, cast

from facemodels.errors import InputError
from facemodels.runtime import Run, Runtime
from facemodels.training.job import Interface, TrainJob


class Architecture(Protocol):
    """What the module of an architecture provides."""

    TITLE: str  # the architecture's own name, for metadata
    FRAMEWORK: str  # word for metadata.json, for example pytorch
    FRAMEWORK_PACKAGE: str  # distribution whose version is the framework's
    WEIGHTS: str  # file name in a package: model.pt or model.dat
    RUNTIMES: tuple[Runtime, ...]  # how a package runs, the served form first
    REQUIREMENTS: tuple[str, ...]  # distributions that the served form needs
    TRAINING_REQUIREMENTS: tuple[str, ...]  # distributions that the weights need

    def units(self, train: Mapping[str, Any]) -> int:
        """How many units of progress a training reports."""

    def budget(self, train: Mapping[str, Any], *, epochs: int, images: int) -> dict[str, Any]:
        """`train` with its budget set to `epochs` passes over `images` images."""

    def train(self, job: TrainJob) -> None:
        """Train and write the weights; resumes from the checkpoint if there is one."""

    def interface(self, network: Mapping[str, Any]) -> Interface:
        """Input and output shapes."""

    def preprocessing(self, network: Mapping[str, Any]) -> dict[str, Any]:
        """How an image becomes an input, for config.yaml."""

    def load(self, weights: Path, network: Mapping[str, Any], *, threads: int) -> Any:
        """A predictor of the task from a file of weights."""

    def untrained(self, network: Mapping[str, Any], data: Path, *, seed: int) -> Any:
        """The baseline: a predictor that has learned nothing."""

    def export(self, weights: Path, network: Mapping[str, Any], path: Path) -> float:
        """Write ONNX to `path`; the largest absolute difference from torch."""


def served(task: str, run: Run, config: Mapping[str, Any], metadata: Mapping[str, Any]) -> Any:
    """A predictor of the task around an ONNX graph.

    It needs the task's module alone and neither the architecture's nor torch, which takes
    seconds to import and half a gigabyte of memory.

    Args:
        task: `detection`, `recognition` or `landmarks`.
        run: the graph.
        config: config.yaml of the package.
        metadata: metadata.json of the package.
    """
    return import_module(f"facemodels.{task}.task").served(run, config, metadata)


def architecture(task: str, name: str) -> Architecture:
    """The module of an architecture.

    Raises:
        InputError: there is none of that name for the task.
    """
    module = f"facemodels.{task}.{name}"
    if not name.isidentifier() or name in {"metrics", "task"} or find_spec(module) is None:
        raise InputError(
            f"there is no architecture {name!r} for {task}.",
            f"Write it as src/facemodels/{task}/{name}.py with one file in conf/model/.",
        )
    return cast(Architecture, import_module(module))

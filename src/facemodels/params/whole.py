"""All of params.yaml."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from facemodels.determinism import Determinism
from facemodels.errors import ParamsError
from facemodels.params.base import Count, Frozen, load_yaml, parse
from facemodels.params.datasets import Data
from facemodels.params.model import ModelParams, WeightsDownload
from facemodels.params.system import SystemParams


class Benchmark(Frozen):
    """How packages are timed.

    Attributes:
        threads: number of threads of the runtime.
        warmup: number of runs that are not counted.
        runs: number of runs that are.
        batch_sizes: numbers of images in a run; each is timed.
        runtimes: `all` that a package has, or the one alone that it is `served` by.
    """

    threads: Count
    warmup: Annotated[int, Field(ge=0)]
    runs: Count
    batch_sizes: list[Count]
    runtimes: Literal["all", "served"]


class Compare(Frozen):
    """How candidates of a task are set side by side.

    Attributes:
        baselines: folder of a released package by task; empty for none.
        resamples: number of bootstrap resamples of a difference.
        confidence: level of its interval.
        seed: seed of the resamples.
        threads: number of threads of the runtime.
        warmup: number of timed runs that are not counted.
        runs: number of timed runs that are.
        across_crops: compare models of different crops too, each in its own. A difference is
            then one of the models together with their crops.
        compatibility_margin: how far the accuracy of a version that claims the embedding space
            of another may lie below the other's, with its own faces against the other's gallery.
            The low end of the paired interval counts, see docs/compatible-training.md.
    """

    baselines: dict[str, str]
    resamples: Count
    confidence: Annotated[float, Field(gt=0, lt=1)]
    seed: int
    threads: Count
    warmup: Annotated[int, Field(ge=0)]
    runs: Count
    across_crops: bool = False
    compatibility_margin: Annotated[float, Field(ge=0, le=1)] = 0.01


class TrainingWork(Frozen):
    """How the work of any training is shared out. It is no part of a result.

    Attributes:
        workers: number of processes; 0: as many as there are cores. A training has no use for more
            than its `micro_batches`, and with `determinism: machine` it is one process.
    """

    workers: Annotated[int, Field(ge=0)] = 0


class PrepareWork(Frozen):
    """Who decodes and draws the images of datasets. It is no part of a result.

    Attributes:
        executor: local: processes of this machine; ray: tasks of a Ray cluster, see
            docs/many-machines.md.
        workers: number of processes of this machine; 0: as many as there are cores.
        ray_address: of the cluster; empty: RAY_ADDRESS, a cluster that runs on this machine, or
            one that is started for the work.
    """

    executor: Literal["local", "ray"] = "local"
    workers: Annotated[int, Field(ge=0)] = 0
    ray_address: str = ""


class Params(Frozen):
    """All of params.yaml.

    Attributes:
        determinism: portable: the same bytes on every x86-64 machine with AVX2; machine: faster,
            the same bytes on one kind of machine. See docs/determinism.md.
        prepare: who prepares the data.
        train: how the work of trainings is shared out.
        real_root: folder in which conf/data/real.yaml looks for its datasets.
        data: one dataset for each task.
        weights: the weights that others publish, by name.
        models: the models by name.
        systems: the systems by name.
        benchmark: how packages are timed.
        compare: how candidates are compared.
    """

    determinism: Determinism = "portable"
    prepare: PrepareWork = PrepareWork()
    train: TrainingWork = TrainingWork()
    real_root: str
    data: Data
    weights: dict[str, WeightsDownload] = Field(default_factory=dict)
    models: dict[str, ModelParams]
    systems: dict[str, SystemParams] = Field(default_factory=dict)
    benchmark: Benchmark
    compare: Compare

    @model_validator(mode="after")
    def _files_have_the_names_of_their_weights(self) -> Self:
        for name, download in self.weights.items():
            if download.name != name:
                raise ValueError(f"weights.{name}.file is {download.file}, not data/weights/{name}")
        return self

    def model(self, name: str) -> ModelParams:
        """The parameters of one model.

        Raises:
            ParamsError: no model of that name.
        """
        if name not in self.models:
            near = get_close_matches(name, [*self.models, *self.systems], 1)
            meant = f" Did you mean {near[0]}?" if near else ""
            raise ParamsError(
                f"params.yaml has no model {name!r}, it has {', '.join(self.models)}.{meant}",
                "Add conf/model/<name>.yaml and its name to conf/config.yaml.",
            )
        return self.models[name]

    def system(self, name: str) -> SystemParams:
        """The parameters of one system.

        Raises:
            ParamsError: no system of that name.
        """
        if name not in self.systems:
            raise ParamsError(
                f"params.yaml has no system {name!r}, it has {', '.join(self.systems)}.",
                "Add conf/bundle/<name>.yaml and its name to conf/config.yaml.",
            )
        return self.systems[name]

    def candidate(self, name: str) -> ModelParams | SystemParams:
        """The parameters of one model or system, whatever it is.

        Raises:
            ParamsError: neither of that name.
        """
        return self.systems[name] if name in self.systems else self.model(name)

    def candidates(self, task: str) -> list[ModelParams | SystemParams]:
        """All models or systems of a task, in the order of conf/config.yaml."""
        everyone: list[ModelParams | SystemParams] = [*self.models.values(), *self.systems.values()]
        return [one for one in everyone if one.task == task]


def load(path: Path = Path("params.yaml")) -> Params:
    """Read and check params.yaml.

    Raises:
        ParamsError: the file is missing or does not fit the schema.
    """
    return parse(Params, load_yaml(path), str(path))

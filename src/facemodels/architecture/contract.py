"""The contract between an architecture and everything that trains, packages and serves it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

from facemodels.errors import FacemodelsError
from facemodels.params import Frozen, parse
from facemodels.progress import Advance
from facemodels.runtime import Runtime
from facemodels.training.initial_weights import InitialWeights, Pretrained, initial_weights
from facemodels.training.settings import TrainingSettings

NetworkT = TypeVar("NetworkT", bound=Frozen)
TrainingT = TypeVar("TrainingT", bound=TrainingSettings)
# A DetectionModel, a RecognitionModel or a LandmarkModel, by task.
Predictor = Any


@dataclass(frozen=True)
class TrainJob:
    """Where one training reads its data and writes its results.

    Attributes:
        data: the folder with the splits `train` and `val`.
        output: the folder that gets the weights.
        checkpoint: the file that a killed training resumes from.
        advance: is called with the number of units that were done since the last call.
        log: is called with every validation record (`step`, `loss`, metrics).
        workers: the processes that may share the work; they change no byte of the result.
        teacher: the predictor of the package that `Architecture.teacher` names.
        compatible: the predictor of the package that `Architecture.compatible_with` names.
    """

    data: Path
    output: Path
    checkpoint: Path
    advance: Advance
    log: Callable[[Mapping[str, float]], None]
    workers: int = 1
    teacher: Predictor | None = None
    compatible: Predictor | None = None


@dataclass(frozen=True)
class Interface:
    """The shapes that a user of the model sees; a change of them is an incompatible one.

    Attributes:
        input_shape: height, width, channels (0 where free).
        output_shape: the shape of one output, without the batch axis (0 where free).
    """

    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]


@dataclass(frozen=True)
class ExportedGraphs:
    """The ONNX graphs of a model that needs several, with steps between them.

    Attributes:
        files: the name of each graph's file, by the name of the graph.
        decode: for config.yaml: the `name` of the steps, and the values that they need.
        max_abs_error: the largest absolute difference between ONNX Runtime and the framework.
    """

    files: Mapping[str, str]
    decode: Mapping[str, Any]
    max_abs_error: float


class Architecture(ABC, Generic[NetworkT, TrainingT]):
    """One kind of network of a task, with the parameters that give it its shape.

    A subclass sets the class attributes and implements the abstract methods. An instance
    holds the parsed `network` parameters; `of` makes one from plain values, `settings`
    parses the `train` parameters. Both are parsed once, where they are read.

    Attributes:
        task: `detection`, `recognition` or `landmarks`.
        name: the name in model names and folders, for example `facenet`.
        title: the architecture's own name, for metadata.json and the model card.
        framework: the framework's name in metadata.json, for example `pytorch`.
        framework_package: the distribution whose version is the framework's version.
        weights_file: the name of the weights in a package: `model.pt`, `model.dat` or
            `model.h5`.
        runtimes: how a package can run, the form that is served first. An architecture
            whose tuple has `onnx` implements `export`, one whose tuple has `graphs`
            implements `export_graphs`.
        requirements: the distributions that the served form needs.
        training_requirements: the distributions that training and the weights need.
        shares_steps: whether processes of a launcher can share the work of `train`; if not, that
            of rank 0 does it and the others wait.
        network_type: the schema of the `network` parameters.
        training_type: the schema of the `train` parameters.
        pretrained: the weights that `init: pretrained` starts from, where a Python distribution
            has some; those of a download stand in conf.
        network: the parsed `network` parameters.
    """

    task: ClassVar[str]
    name: ClassVar[str]
    title: ClassVar[str]
    framework: ClassVar[str]
    framework_package: ClassVar[str]
    weights_file: ClassVar[str]
    runtimes: ClassVar[tuple[Runtime, ...]]
    requirements: ClassVar[tuple[str, ...]]
    training_requirements: ClassVar[tuple[str, ...]] = ()
    shares_steps: ClassVar[bool] = False
    pretrained: ClassVar[Pretrained | None] = None
    network_type: type[NetworkT]
    training_type: type[TrainingT]

    def __init__(self, network: NetworkT) -> None:
        self.network = network

    @classmethod
    def of(cls, network: Mapping[str, Any]) -> Self:
        """Make an instance from plain `network` values.

        Raises:
            ParamsError: the values do not fit `network_type`.
        """
        return cls(parse(cls.network_type, network, "network"))

    @classmethod
    def settings(cls, train: Mapping[str, Any]) -> TrainingT:
        """Parse plain `train` values.

        Raises:
            ParamsError: the values do not fit `training_type`.
        """
        return parse(cls.training_type, train, "train")

    def initial_weights(self, settings: TrainingT) -> InitialWeights | None:
        """Return the verified weights that a training starts from; None for random ones.

        Raises:
            InputError: the architecture has no pretrained weights, or the file is missing.
            DataError: the file's digest is not the one that is pinned.
        """
        pretrained = settings.pretrained or self.pretrained
        return initial_weights(settings.init, pretrained, model=f"{self.task}/{self.name}")

    def teacher(self, settings: TrainingT) -> Path | None:
        """Return the folder of the package that a training imitates; None if it learns alone."""
        return None

    def compatible_with(self, settings: TrainingT) -> Path | None:
        """Return the folder of the package whose embedding space is kept; None for a new one."""
        return None

    def is_imported(self, settings: TrainingT) -> bool:
        """Return whether `train` takes the weights as they are and trains nothing."""
        return False

    @abstractmethod
    def units(self, settings: TrainingT) -> int:
        """Return how many units of progress a training reports."""

    @abstractmethod
    def budget(self, settings: TrainingT, *, epochs: int, images: int) -> TrainingT:
        """Return settings with a budget of `epochs` passes over `images` images.

        Raises:
            FacemodelsError: the architecture does not train in passes.
        """

    def fitted(self, settings: TrainingT, data: Path) -> TrainingT:
        """Return settings whose batches the split `train` of a small folder can fill."""
        return settings

    @abstractmethod
    def train(self, settings: TrainingT, job: TrainJob) -> None:
        """Train and write the weights to `job.output`.

        A training that was killed and is called again ends in the same bytes as one that
        ran through. It resumes from `job.checkpoint` if that exists.
        """

    @abstractmethod
    def interface(self) -> Interface:
        """Return the shapes of the input and of the output."""

    @abstractmethod
    def preprocessing(self) -> dict[str, Any]:
        """Return how an image becomes an input, for config.yaml."""

    def postprocessing(self) -> dict[str, Any] | None:
        """Return how an output becomes an answer, for config.yaml; None: as the task does it."""
        return None

    @abstractmethod
    def load(self, weights: Path, *, threads: int) -> Predictor:
        """Return the predictor of a file of weights.

        Raises:
            DataError: the file does not hold weights of this network.
        """

    @abstractmethod
    def untrained(self, data: Path, *, seed: int) -> Predictor:
        """Return the baseline: a predictor that has learned nothing.

        Args:
            data: the prepared data of the task, for baselines that need its mean.
            seed: the seed of random weights.
        """

    def export(self, weights: Path, path: Path) -> float:
        """Write the weights as ONNX to `path`.

        The graph has one input and one output, both float32 with a free batch axis, as
        `served` in the task's `task` module expects them.

        Returns:
            The largest absolute difference between ONNX Runtime and the framework.

        Raises:
            FacemodelsError: the architecture has no ONNX form.
        """
        raise FacemodelsError(
            f"{weights.name} of {self.name} has no ONNX form to write to {path.name}."
        )

    def export_graphs(self, weights: Path, folder: Path) -> ExportedGraphs:
        """Write the weights as several ONNX graphs into `folder`.

        Each graph has one input, and its file is called `<name>.onnx` in small letters and
        digits. `served_graphs` in the task's `task` module knows the steps between them.

        Raises:
            FacemodelsError: the architecture has no form of several graphs.
        """
        raise FacemodelsError(
            f"{weights.name} of {self.name} has no form of several graphs for {folder.name}."
        )

    def example(self) -> str | None:
        """Return the script of the model card, which runs in the package's folder.

        By default it is the task's `example.py` for a package with an ONNX graph. For None
        the card shows `package/native_example.py`, which needs facemodels.
        """
        if "onnx" not in self.runtimes:
            return None
        folder = resources.files(f"facemodels.{self.task}")
        return folder.joinpath("example.py").read_text("utf-8")

"""The common part of architectures that train a torch network in our loop."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from facemodels.architecture.contract import Architecture, NetworkT, Predictor, TrainJob
from facemodels.runtime import Run, torch_run
from facemodels.training.loop import Task, train_to_file
from facemodels.training.settings import TorchTraining
from facemodels.training.weights import load_state

TorchTrainingT = TypeVar("TorchTrainingT", bound=TorchTraining)


class TorchArchitecture(Architecture[NetworkT, TorchTrainingT]):
    """An architecture whose weights are a torch state dict and whose served form is ONNX.

    A subclass gives the network (`build`), what it learns (`learning_task`), the predictor
    around it (`predictor`) and its export (`export_network`).
    """

    framework = "pytorch"
    framework_package = "torch"
    weights_file = "model.pt"
    shares_steps = True
    runtimes = ("onnx", "torch")
    requirements = ("numpy", "onnxruntime", "pillow", "PyYAML")

    @abstractmethod
    def build(self) -> nn.Module:
        """Return the network with random weights from torch's generator."""

    @abstractmethod
    def learning_task(self, settings: TorchTrainingT, data: Path) -> Task:
        """Return the batches, the loss and the validation on the splits below `data`."""

    def task_of(self, settings: TorchTrainingT, job: TrainJob) -> Task:
        """Return the task of a job; one that has no teacher needs its data alone."""
        return self.learning_task(settings, job.data)

    @abstractmethod
    def images_per_step(self, settings: TorchTrainingT) -> int:
        """Return how many images one training step sees."""

    @abstractmethod
    def predictor(self, run: Run) -> Predictor:
        """Return the task's predictor around a network that runs on NumPy batches."""

    @abstractmethod
    def export_network(self, network: nn.Module, path: Path) -> float:
        """Write a network in eval mode as ONNX; see `Architecture.export`."""

    def build_for_training(self) -> nn.Module:
        """Return the network as training wants it; other memory formats are faster for some."""
        return self.build()

    def load_initial(self, network: nn.Module, weights: Path) -> None:
        """Load the weights that a training starts from; by default a state dict.

        Raises:
            DataError: the file does not hold weights of this network.
        """
        load_state(network, weights)

    def is_imported(self, settings: TorchTrainingT) -> bool:
        """Return whether the budget is 0 steps."""
        return settings.steps == 0

    def units(self, settings: TorchTrainingT) -> int:
        """Return the number of steps."""
        return settings.steps

    def budget(self, settings: TorchTrainingT, *, epochs: int, images: int) -> TorchTrainingT:
        """Return settings with as many steps as see each image about once an epoch."""
        steps = max(1, epochs * images // self.images_per_step(settings))
        return settings.model_copy(update={"steps": steps})

    def train(self, settings: TorchTrainingT, job: TrainJob) -> None:
        """Train on the split `train`; `val` decides nothing but when to stop early."""
        train_to_file(
            settings,
            build=lambda: self._initialised(settings),
            task=lambda: self.task_of(settings, job),
            checkpoint=job.checkpoint,
            weights=job.output / self.weights_file,
            advance=job.advance,
            log=job.log,
            workers=job.workers,
        )

    def load(self, weights: Path, *, threads: int) -> Predictor:
        """Return the predictor of a model.pt, which runs under torch on the CPU."""
        torch.set_num_threads(threads)
        return self.predictor(torch_run(self._restored(weights)))

    def untrained(self, data: Path, *, seed: int) -> Predictor:
        """Return the network as it was before its first step."""
        torch.manual_seed(seed)
        return self.predictor(torch_run(self.build()))

    def export(self, weights: Path, path: Path) -> float:
        """Write the weights as ONNX; see `Architecture.export`."""
        return self.export_network(self._restored(weights), path)

    def _initialised(self, settings: TorchTrainingT) -> nn.Module:
        network = self.build_for_training()
        initial = self.initial_weights(settings)
        if initial is not None:
            self.load_initial(network, initial.path)
        return network

    def _restored(self, weights: Path) -> nn.Module:
        network = self.build()
        load_state(network, weights)
        return network.eval()

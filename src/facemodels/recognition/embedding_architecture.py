"""The common part of architectures that train a network of embeddings in our loop."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from facemodels.architecture.contract import Interface, NetworkT, TrainJob
from facemodels.architecture.torch_architecture import TorchArchitecture
from facemodels.data.splits import RecognitionSplit
from facemodels.recognition.compatible import prototypes
from facemodels.recognition.learning import EmbeddingTask, EmbeddingTraining
from facemodels.recognition.task import Embedder, Preprocessing
from facemodels.runtime import Run, export_onnx


class EmbeddingArchitecture(TorchArchitecture[NetworkT, EmbeddingTraining]):
    """A network whose output is a unit vector, trained with any loss of `losses`.

    A subclass gives the network (`build`, and `build_features` for training) and says what
    its input and its output are.
    """

    task = "recognition"
    training_type = EmbeddingTraining

    @property
    @abstractmethod
    def inputs(self) -> Preprocessing:
        """How a face becomes an input of the network."""

    @property
    def image_size(self) -> int:
        """Pixels, side of the network's input."""
        return self.inputs.size

    @property
    @abstractmethod
    def embedding_size(self) -> int:
        """D, numbers of an embedding."""

    @abstractmethod
    def build_features(self) -> nn.Module:
        """Return the network without the division by the length, with the same state dict.

        Some losses learn from the length of a feature.
        """

    def build_for_training(self) -> nn.Module:
        """Return `build_features` in the layout that the CPU's convolutions prefer."""
        return self.build_features().to(memory_format=torch.channels_last)

    def learning_task(self, settings: EmbeddingTraining, data: Path) -> EmbeddingTask:
        """Return the task on the splits below `data`, for a training without other models."""
        return self._task(settings, data, None, None)

    def task_of(self, settings: EmbeddingTraining, job: TrainJob) -> EmbeddingTask:
        """Return the task of a job, with the other models that it learns from."""
        return self._task(settings, job.data, job.teacher, job.compatible)

    def _task(
        self,
        settings: EmbeddingTraining,
        data: Path,
        teacher: Embedder | None,
        compatible: Embedder | None,
    ) -> EmbeddingTask:
        kept = None
        if compatible is not None:
            kept = prototypes(compatible, data / "train", embedding_size=self.embedding_size)
        return EmbeddingTask(
            settings,
            self.inputs,
            self.embedding_size,
            RecognitionSplit.load(data / "train", self._crop),
            RecognitionSplit.load(data / "val", self._crop),
            teacher,
            kept,
        )

    def teacher(self, settings: EmbeddingTraining) -> Path | None:
        """Return the folder of the package that loss `distillation` imitates."""
        if settings.loss != "distillation":
            return None
        return Path(settings.losses.distillation.teacher)

    def compatible_with(self, settings: EmbeddingTraining) -> Path | None:
        """Return the folder of the package whose embedding space the training keeps."""
        return Path(settings.compatible_with) if settings.compatible_with else None

    def images_per_step(self, settings: EmbeddingTraining) -> int:
        """Return the size of a batch of people by images."""
        return settings.batch_people * settings.batch_images

    def fitted(self, settings: EmbeddingTraining, data: Path) -> EmbeddingTraining:
        """Return settings with no more people in a batch than the split `train` has."""
        people = len(np.unique(RecognitionSplit.load(data / "train", self._crop).identities))
        if people >= settings.batch_people or settings.loss == "distillation":
            return settings
        for fewer in range(people, 1, -1):
            if fewer * settings.batch_images % settings.micro_batches == 0:
                return settings.model_copy(update={"batch_people": fewer})
        return settings

    def predictor(self, run: Run) -> Embedder:
        """Return the embedder around the network."""
        return Embedder(run, self.inputs, self.embedding_size)

    def interface(self) -> Interface:
        """Return the shapes: a square RGB crop in, a unit vector out."""
        size = self.image_size
        return Interface(input_shape=(size, size, 3), output_shape=(self.embedding_size,))

    def preprocessing(self) -> dict[str, Any]:
        """Return how a face is cut out, resized and scaled."""
        return self.inputs.as_config()

    @property
    def _crop(self) -> str:
        return self.inputs.crop.name if self.inputs.crop else ""

    def export_network(self, network: nn.Module, path: Path) -> float:
        """Write ONNX: `images` float32 (N, 3, S, S) to `embeddings` (N, D)."""
        size = self.image_size
        example = np.random.default_rng(0).uniform(-1, 1, (2, 3, size, size)).astype(np.float32)
        return export_onnx(network, path, example, input_name="images", output_name="embeddings")

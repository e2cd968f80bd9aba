"""What every embedding network learns: batches of people, a loss, validation on pairs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor, nn

from facemodels.data.splits import RecognitionSplit
from facemodels.errors import InputError
from facemodels.recognition.batches import CropAugmentation, IdentityBatches, validation_metrics
from facemodels.recognition.distillation import DistillationBatches
from facemodels.recognition.losses.heads import head
from facemodels.recognition.losses.influence import InfluenceHead
from facemodels.recognition.losses.settings import LossName, LossSettings
from facemodels.recognition.task import Embedder, Preprocessing
from facemodels.runtime import torch_run
from facemodels.training.settings import TorchTraining


class EmbeddingTraining(TorchTraining):
    """The loop's hyperparameters, those of a batch and those of the losses."""

    batch_people: Annotated[int, Field(ge=2)]
    batch_images: Annotated[int, Field(ge=1)]  # of each person
    loss: LossName
    losses: LossSettings = LossSettings()
    # The package whose embedding space is kept, see `recognition.compatible`; "" for a new space.
    compatible_with: str = ""
    augmentation: CropAugmentation

    @model_validator(mode="after")
    def _triplets_need_two_images(self) -> Self:
        if self.loss == "triplet" and self.batch_images < 2:
            raise ValueError("loss triplet needs batch_images of 2 or more")
        return self

    @model_validator(mode="after")
    def _micro_batches_are_equal(self) -> Self:
        self.require_equal_parts(self.batch_people * self.batch_images)
        return self

    @model_validator(mode="after")
    def _distillation_needs_a_teacher(self) -> Self:
        if self.loss == "distillation" and not self.losses.distillation.teacher:
            raise ValueError("loss distillation needs losses.distillation.teacher, a package")
        return self

    @model_validator(mode="after")
    def _a_sample_needs_class_weights(self) -> Self:
        plain = self.loss == "softmax" and not self.losses.softmax.normalised
        if self.losses.sample_rate < 1 and (plain or self.loss in ("triplet", "distillation")):
            raise ValueError(
                f"losses.sample_rate is {self.losses.sample_rate:g}, and loss {self.loss} has no "
                "directions of people to draw from; set it to 1"
            )
        return self

    @model_validator(mode="after")
    def _compatibility_needs_people(self) -> Self:
        if self.loss == "distillation" and self.compatible_with:
            raise ValueError("loss distillation knows no people, which compatible_with needs")
        return self


@dataclass
class EmbeddingTask:
    """Brings crops of one person together and keeps those of others apart.

    With loss `distillation` it learns the embeddings of a teacher instead.

    Attributes:
        settings: the hyperparameters.
        inputs: how a crop becomes an input of the network.
        embedding_size: D of the network's features.
        train: the training crops.
        val: the crops of the validation, with pairs.
        teacher: the model that is imitated, for loss `distillation`.
        prototypes: float32 (C, D), of `train`'s people in the space of an older model, where the
            training keeps it.
        head: the loss, with its class weights.
    """

    settings: EmbeddingTraining
    inputs: Preprocessing
    embedding_size: int
    train: RecognitionSplit
    val: RecognitionSplit
    teacher: Embedder | None = None
    prototypes: NDArray[np.float32] | None = None
    monitor: str = "val_accuracy"
    head: nn.Module = field(init=False)

    def __post_init__(self) -> None:
        settings = self.settings
        self._people = np.unique(self.train.identities)
        self._draw = self._distilled() if settings.loss == "distillation" else self._of_people()
        self.head = head(
            settings.loss,
            settings.losses,
            classes=len(self._people),
            embedding_size=self.embedding_size,
            least=settings.batch_people,
        )
        if self.prototypes is not None:
            self.head = InfluenceHead(self.head, self.prototypes, settings.losses.influence)

    def _of_people(self) -> IdentityBatches:
        settings = self.settings
        return IdentityBatches(
            self.train,
            people=settings.batch_people,
            images=settings.batch_images,
            preprocessing=self.inputs,
            seed=settings.seed,
            augmentation=settings.augmentation,
        )

    def _distilled(self) -> DistillationBatches:
        settings, teacher = self.settings, self.teacher
        if teacher is None:
            raise InputError(
                "loss distillation has no teacher.", "Set train.losses.distillation.teacher."
            )
        if teacher.embedding_size != self.embedding_size:
            raise InputError(
                f"the teacher gives {teacher.embedding_size} numbers and the network "
                f"{self.embedding_size}.",
                f"Set network.embedding_size={teacher.embedding_size}.",
            )
        return DistillationBatches(
            self.train,
            teacher,
            size=settings.batch_people * settings.batch_images,
            preprocessing=self.inputs,
            seed=settings.seed,
            augmentation=settings.augmentation,
            mixup=settings.losses.distillation.mixup,
            centred=settings.losses.distillation.centred,
        )

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Inputs (P*K, 3, S, S) and what they stand for.

        That is int64 (P*K,), 0..C-1, the people; or a teacher's float32 (P*K, D).
        """
        inputs, answers = self._draw(step)
        # Channels last is the layout that the CPU's convolutions prefer. NumPy makes it: an
        # operation of torch in the loader's thread would start a second team of OpenMP
        # threads, whose waiting halves the speed of training.
        inputs = np.ascontiguousarray(inputs.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        if self.teacher is None:
            answers = np.searchsorted(self._people, answers).astype(np.int64)
        return torch.from_numpy(inputs), torch.from_numpy(answers)

    def outputs(self, network: nn.Module, inputs: Tensor) -> Tensor:
        """Features (n, D) of any length."""
        features: Tensor = network(inputs)
        return features

    def loss(self, network: nn.Module, outputs: Tensor, answers: Tensor) -> Tensor:
        """The loss of the features (N, D) of a batch."""
        value: Tensor = self.head(outputs, answers)
        return value

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Accuracy and AUC on the validation pairs."""
        run = torch_run(nn.Sequential(network, UnitLength()), self.settings.device)
        return validation_metrics(Embedder(run, self.inputs, self.embedding_size), self.val)


class UnitLength(nn.Module):
    """Divides each row by its length."""

    def forward(self, features: Tensor) -> Tensor:
        """Return unit vectors (N, D)."""
        return nn.functional.normalize(features, p=2, dim=1)

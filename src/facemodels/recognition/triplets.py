"""Learning by triplets: the loss, its mining, and what a training step sees.

Source: Schroff et al., "FaceNet: A Unified Embedding for Face Recognition and Clustering",
CVPR 2015.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from facemodels.data.splits import RecognitionSplit
from facemodels.recognition.batches import CropAugmentation, IdentityBatches, validation_metrics
from facemodels.recognition.task import Embedder
from facemodels.runtime import torch_run
from facemodels.training.settings import Positive, TorchTraining


class TripletTraining(TorchTraining):
    """The loop's hyperparameters and those of the triplet loss."""

    batch_people: Annotated[int, Field(ge=2)]
    batch_images: Annotated[int, Field(ge=2)]  # of each person
    margin: Positive  # of the distance between unit embeddings
    augmentation: CropAugmentation


@dataclass
class TripletTask:
    """Pulls crops of one person together, pushes others apart by a margin.

    Attributes:
        settings: the hyperparameters.
        size: pixels, side of the network's input.
        embedding_size: D of the network's unit vectors.
        train: the training crops.
        val: the crops of the validation, with pairs.
    """

    settings: TripletTraining
    size: int
    embedding_size: int
    train: RecognitionSplit
    val: RecognitionSplit
    monitor: str = "val_accuracy"

    def __post_init__(self) -> None:
        self._draw = IdentityBatches(
            self.train,
            people=self.settings.batch_people,
            images=self.settings.batch_images,
            size=self.size,
            seed=self.settings.seed,
            augmentation=self.settings.augmentation,
        )

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Inputs (P*K, 3, S, S) and identities (P*K,) of a step."""
        inputs, identities = self._draw(step)
        # Channels last is the layout that the CPU's convolutions prefer. NumPy makes it: an
        # operation of torch in the loader's thread would start a second team of OpenMP
        # threads, whose waiting halves the speed of training.
        inputs = np.ascontiguousarray(inputs.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        return torch.from_numpy(inputs), torch.from_numpy(identities)

    def loss(self, network: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Mean triplet loss over the semi-hard triplets of the batch."""
        inputs, identities = batch
        return semi_hard_triplet_loss(network(inputs), identities, self.settings.margin)

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Accuracy and AUC on the validation pairs."""
        run = torch_run(network, self.settings.device)
        return validation_metrics(Embedder(run, self.size, self.embedding_size), self.val)


def semi_hard_triplet_loss(embeddings: Tensor, identities: Tensor, margin: float) -> Tensor:
    """Triplet loss of unit embeddings (N, D), mined by pytorch-metric-learning.

    Semi-hard (Schroff et al., section 3.2): negatives farther than the positive, but
    within the margin. A batch without any such triplet has no loss. The distance is not
    squared: its gradient does not vanish where embeddings have almost met.
    """
    from pytorch_metric_learning import distances, losses, miners

    distance = distances.LpDistance(normalize_embeddings=False, p=2)
    miner = miners.TripletMarginMiner(margin, type_of_triplets="semihard", distance=distance)
    measure = losses.TripletMarginLoss(margin, distance=distance)
    embeddings = embeddings.float()
    value: Tensor = measure(embeddings, identities, miner(embeddings, identities))
    return value

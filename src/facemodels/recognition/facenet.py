"""FaceNet: InceptionResnetV1 trained with a triplet loss and semi-hard mining.

Sources: Schroff et al., "FaceNet: A Unified Embedding for Face Recognition and
Clustering", CVPR 2015 (loss, mining); Szegedy et al., 2017 (Inception-ResNet), as
implemented by facenet-pytorch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from facemodels.architecture.contract import Interface
from facemodels.architecture.torch_architecture import TorchArchitecture
from facemodels.data.splits import RecognitionSplit
from facemodels.params import Frozen
from facemodels.recognition.batches import CropAugmentation, IdentityBatches, validation_metrics
from facemodels.recognition.task import Embedder
from facemodels.runtime import Run, export_onnx, torch_run
from facemodels.training.settings import Positive, TorchTraining

EMBEDDING_SIZE = 512


class FaceNetNetwork(Frozen):
    """The shape of the network."""

    image_size: Annotated[int, Field(ge=80)]  # pixels; smaller leaves the last stage no pixel
    dropout: Annotated[float, Field(ge=0, lt=1)]


class FaceNetTraining(TorchTraining):
    """The loop's hyperparameters and those of the triplet loss."""

    batch_people: Annotated[int, Field(ge=2)]
    batch_images: Annotated[int, Field(ge=2)]  # of each person
    margin: Positive  # of the distance between unit embeddings
    augmentation: CropAugmentation


class FaceNet(TorchArchitecture[FaceNetNetwork, FaceNetTraining]):
    """InceptionResnetV1: an RGB crop to a unit vector of 512 numbers."""

    task = "recognition"
    name = "facenet"
    title = "InceptionResnetV1"
    training_requirements = ("facenet-pytorch", "torch", "torchvision")
    network_type = FaceNetNetwork
    training_type = FaceNetTraining

    def build(self) -> nn.Module:
        """Return the network with random weights from torch's generator; no download."""
        from facenet_pytorch import InceptionResnetV1

        network: nn.Module = InceptionResnetV1(
            pretrained=None, classify=False, dropout_prob=self.network.dropout
        )
        return network

    def build_for_training(self) -> nn.Module:
        """Return the network in the layout that the CPU's convolutions prefer."""
        return self.build().to(memory_format=torch.channels_last)

    def learning_task(self, settings: FaceNetTraining, data: Path) -> TripletTask:
        """Return the triplet task on the splits below `data`."""
        return TripletTask(
            settings,
            self.network.image_size,
            RecognitionSplit.load(data / "train"),
            RecognitionSplit.load(data / "val"),
        )

    def images_per_step(self, settings: FaceNetTraining) -> int:
        """Return the size of a batch of people by images."""
        return settings.batch_people * settings.batch_images

    def predictor(self, run: Run) -> Embedder:
        """Return the embedder around the network."""
        return Embedder(run, self.network.image_size, EMBEDDING_SIZE)

    def interface(self) -> Interface:
        """Return the shapes: a square RGB crop in, a unit vector out."""
        size = self.network.image_size
        return Interface(input_shape=(size, size, 3), output_shape=(EMBEDDING_SIZE,))

    def preprocessing(self) -> dict[str, Any]:
        """Return how the aligned crop is resized to a square and scaled."""
        size = self.network.image_size
        return {
            "color": "RGB",
            "resize": "bilinear, antialiased when shrinking",
            "size": [size, size],
            "mean": 127.5,
            "scale": 1 / 128,
            "layout": "NCHW float32",
        }

    def export_network(self, network: nn.Module, path: Path) -> float:
        """Write ONNX: `images` float32 (N, 3, S, S) to `embeddings` (N, 512)."""
        size = self.network.image_size
        example = np.random.default_rng(0).uniform(-1, 1, (2, 3, size, size)).astype(np.float32)
        return export_onnx(network, path, example, input_name="images", output_name="embeddings")


@dataclass
class TripletTask:
    """Pulls crops of one person together, pushes others apart by a margin."""

    settings: FaceNetTraining
    size: int
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
        return validation_metrics(Embedder(run, self.size, EMBEDDING_SIZE), self.val)


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

"""FaceNet: InceptionResnetV1 trained with a triplet loss and semi-hard mining.

Sources: Schroff et al., "FaceNet: A Unified Embedding for Face Recognition and
Clustering", CVPR 2015 (loss, mining); Szegedy et al., 2017 (Inception-ResNet), as
implemented by facenet-pytorch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import nn

from facemodels.architecture.contract import Interface
from facemodels.architecture.torch_architecture import TorchArchitecture
from facemodels.data.splits import RecognitionSplit
from facemodels.params import Frozen
from facemodels.recognition.task import Embedder
from facemodels.recognition.triplets import TripletTask, TripletTraining
from facemodels.runtime import Run, export_onnx

EMBEDDING_SIZE = 512


class FaceNetNetwork(Frozen):
    """The shape of the network."""

    image_size: Annotated[int, Field(ge=80)]  # pixels; smaller leaves the last stage no pixel
    dropout: Annotated[float, Field(ge=0, lt=1)]


class FaceNet(TorchArchitecture[FaceNetNetwork, TripletTraining]):
    """InceptionResnetV1: an RGB crop to a unit vector of 512 numbers."""

    task = "recognition"
    name = "facenet"
    title = "InceptionResnetV1"
    training_requirements = ("facenet-pytorch", "torch", "torchvision")
    network_type = FaceNetNetwork
    training_type = TripletTraining

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

    def learning_task(self, settings: TripletTraining, data: Path) -> TripletTask:
        """Return the triplet task on the splits below `data`."""
        return TripletTask(
            settings,
            self.network.image_size,
            EMBEDDING_SIZE,
            RecognitionSplit.load(data / "train"),
            RecognitionSplit.load(data / "val"),
        )

    def images_per_step(self, settings: TripletTraining) -> int:
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

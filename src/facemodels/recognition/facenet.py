"""FaceNet: InceptionResnetV1 trained with a triplet loss and semi-hard mining.

Sources: Schroff et al., "FaceNet: A Unified Embedding for Face Recognition and
Clustering", CVPR 2015 (loss, mining); Szegedy et al., 2017 (Inception-ResNet), as
implemented by facenet-pytorch. `train.loss` chooses another loss.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field
from torch import nn

from facemodels.params import Frozen
from facemodels.recognition.embedding_architecture import EmbeddingArchitecture

EMBEDDING_SIZE = 512


class FaceNetNetwork(Frozen):
    """The shape of the network."""

    image_size: Annotated[int, Field(ge=80)]  # pixels; smaller leaves the last stage no pixel
    dropout: Annotated[float, Field(ge=0, lt=1)]


class FaceNet(EmbeddingArchitecture[FaceNetNetwork]):
    """InceptionResnetV1: an RGB crop to a unit vector of 512 numbers."""

    name = "facenet"
    title = "InceptionResnetV1"
    training_requirements = ("facenet-pytorch", "torch", "torchvision")
    network_type = FaceNetNetwork

    @property
    def image_size(self) -> int:
        """Pixels, side of the network's input."""
        return self.network.image_size

    @property
    def embedding_size(self) -> int:
        """D, numbers of an embedding."""
        return EMBEDDING_SIZE

    def build(self) -> nn.Module:
        """Return the network with random weights from torch's generator; no download."""
        from facenet_pytorch import InceptionResnetV1

        network: nn.Module = InceptionResnetV1(
            pretrained=None, classify=False, dropout_prob=self.network.dropout
        )
        return network

    def build_features(self) -> nn.Module:
        """Return the network as a classifier whose last layer, `logits`, changes nothing."""
        network: Any = self.build()
        network.classify, network.logits = True, nn.Identity()
        features: nn.Module = network
        return features

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

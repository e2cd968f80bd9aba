"""FaceNet: InceptionResnetV1 trained with a triplet loss and semi-hard mining.

Sources: Schroff et al., "FaceNet: A Unified Embedding for Face Recognition and
Clustering", CVPR 2015 (loss, mining); Szegedy et al., 2017 (Inception-ResNet), as
implemented by facenet-pytorch. `train.loss` chooses another loss.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from torch import nn

from facemodels.params import Frozen
from facemodels.recognition.embedding_architecture import EmbeddingArchitecture
from facemodels.recognition.task import Preprocessing, crop_or_none
from facemodels.training.weights import load_state

EMBEDDING_SIZE = 512


class FaceNetNetwork(Frozen):
    """The shape of the network, and the crop that it is trained on.

    Attributes:
        image_size: pixels; smaller leaves the last stage no pixel.
        dropout: share of the features that training leaves out.
        crop: name of the crop; empty in packages of before, which do not say it.
    """

    image_size: Annotated[int, Field(ge=80)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    crop: str = ""


class FaceNet(EmbeddingArchitecture[FaceNetNetwork]):
    """InceptionResnetV1: an RGB crop to a unit vector of 512 numbers."""

    name = "facenet"
    title = "InceptionResnetV1"
    training_requirements = ("facenet-pytorch", "torch", "torchvision")
    network_type = FaceNetNetwork

    @property
    def inputs(self) -> Preprocessing:
        """How a face becomes an input of the network."""
        return Preprocessing(self.network.image_size, crop=crop_or_none(self.network.crop))

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

    def load_initial(self, network: nn.Module, weights: Path) -> None:
        """Load a state dict of ours, or a file that facenet-pytorch publishes.

        The published files end in a classifier of the people that they were trained on
        (`logits`), which an embedding does not need: it is left out.

        Raises:
            DataError: the file does not hold weights of this network.
        """
        load_state(network, weights, leave_out="logits.")

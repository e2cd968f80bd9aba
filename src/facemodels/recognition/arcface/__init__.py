"""ArcFace: a network of embeddings for aligned faces, trained with a margin on the angle.

Source: Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", CVPR
2019. `network.backbone` chooses the network and `train.loss` what it learns from, so that
`dvc exp run -S models.recognition-arcface.train.loss=cosface` compares them.

The class stands here; `mobilefacenet`, `iresnet` and `resnet29` have the networks.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from facemodels.params import Frozen
from facemodels.recognition.arcface import iresnet
from facemodels.recognition.arcface.mobilefacenet import MobileFaceNet
from facemodels.recognition.arcface.resnet29 import ResNet29
from facemodels.recognition.embedding_architecture import EmbeddingArchitecture
from facemodels.recognition.task import Preprocessing, crop_or_none


class ArcFaceNetwork(Frozen):
    """The shape of the network."""

    crop: str = "arcface112"
    backbone: Literal["mobilefacenet", "iresnet18", "iresnet50", "resnet29"]
    image_size: Annotated[int, Field(ge=48, multiple_of=16)]  # pixels; the papers' is 112
    # 128 of mobilefacenet (or 512) and resnet29, 512 of the iresnets
    embedding_size: Annotated[int, Field(ge=8)]
    dropout: Annotated[float, Field(ge=0, lt=1)]  # of iresnet's last map


class ArcFace(EmbeddingArchitecture[ArcFaceNetwork]):
    """MobileFaceNet, an iResNet or a ResNet: an RGB crop to a unit vector."""

    name = "arcface"
    title = "ArcFace"
    training_requirements = ("pytorch-metric-learning", "torch")
    network_type = ArcFaceNetwork

    @property
    def inputs(self) -> Preprocessing:
        """How a face becomes an input of the network."""
        return Preprocessing(
            self.network.image_size,
            scale=1 / 127.5,  # of arcface_torch; facenet-pytorch divides by 128
            crop=crop_or_none(self.network.crop),
        )

    @property
    def embedding_size(self) -> int:
        """D, numbers of an embedding."""
        return self.network.embedding_size

    def build(self) -> nn.Module:
        """Return the network with random weights from torch's generator."""
        return self._build(unit=True)

    def build_features(self) -> nn.Module:
        """Return the network without the division by the length."""
        return self._build(unit=False)

    def _build(self, *, unit: bool) -> nn.Module:
        shape = self.network
        if shape.backbone == "mobilefacenet":
            return MobileFaceNet(shape.image_size, shape.embedding_size, unit=unit)
        if shape.backbone == "resnet29":
            return ResNet29(shape.embedding_size, unit=unit)
        return iresnet.IResNet(
            iresnet.LAYERS[shape.backbone],
            shape.image_size,
            shape.embedding_size,
            dropout=shape.dropout,
            unit=unit,
        )

"""AdaFace: hard crops count more where the image is good, less where it is bad.

Source: Kim, Jain and Liu, "AdaFace: Quality Adaptive Margin for Face Recognition", CVPR 2022,
equations 14 and 15; constants and the running mean are those of the authors' code.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from facemodels.recognition.losses.class_weights import class_weights, cosines
from facemodels.recognition.losses.settings import AdaFaceSettings

_EDGE = 1e-3  # keeps cosines and angles away from where the arc cosine has no derivative
_NORMS = (1e-3, 100.0)  # the range of norms that is told apart


class AdaFaceHead(nn.Module):
    """A loss whose margin follows the norm of a feature, which stands for image quality.

    The mean and the deviation of the norms are running averages over the batches. They are
    buffers, hence part of a checkpoint.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, settings: AdaFaceSettings, classes: int, embedding_size: int) -> None:
        super().__init__()
        self.settings = settings
        self.weights = class_weights(embedding_size, classes)
        self.register_buffer("mean", torch.tensor(20.0))
        self.register_buffer("deviation", torch.tensor(100.0))

    def forward(self, features: Tensor, classes: Tensor) -> Tensor:
        """Return the mean cross-entropy of features (N, D) of people (N,)."""
        settings = self.settings
        quality = self._quality(features.norm(dim=1).detach().clamp(*_NORMS))
        cosine = cosines(features, self.weights).clamp(-1 + _EDGE, 1 - _EDGE)
        rows = torch.arange(len(classes), device=classes.device)
        angle = torch.acos(cosine[rows, classes]) - settings.margin * quality
        target = torch.cos(angle.clamp(_EDGE, math.pi - _EDGE)) - settings.margin * (1 + quality)
        logits = cosine.scatter(1, classes[:, None], target[:, None])
        return functional.cross_entropy(settings.scale * logits, classes)

    def _quality(self, norms: Tensor) -> Tensor:
        """Norms (N,) as -1 (the worst images) to 1 (the best), among those seen so far."""
        if self.training:
            momentum = self.settings.momentum
            self.mean.lerp_(norms.mean(), momentum)
            self.deviation.lerp_(norms.std(), momentum)
        scaled = (norms - self.mean) / (self.deviation + _EDGE) * self.settings.concentration
        return scaled.clamp(-1, 1)

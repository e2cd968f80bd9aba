"""MagFace: the length of a feature learns to tell how good the image is.

Source: Meng et al., "MagFace: A Universal Representation for Face Recognition and Quality
Assessment", CVPR 2021, equations 2 to 4, with the linear margin of section 3.3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from facemodels.recognition.losses.class_weights import EDGE, class_weights, cosines, with_margin
from facemodels.recognition.losses.settings import MagFaceSettings


class MagFaceHead(nn.Module):
    """ArcFace with a margin that grows with the norm, and a term that rewards long features."""

    def __init__(self, settings: MagFaceSettings, classes: int, embedding_size: int) -> None:
        super().__init__()
        self.settings = settings
        self.weights = class_weights(embedding_size, classes)

    def forward(self, features: Tensor, classes: Tensor) -> Tensor:
        """Return the mean loss of features (N, D) of people (N,)."""
        settings = self.settings
        norms = features.norm(dim=1).clamp(settings.least_norm, settings.most_norm)
        cosine = cosines(features, self.weights).clamp(-1 + EDGE, 1 - EDGE)
        rows = torch.arange(len(classes), device=classes.device)
        target = with_margin(cosine[rows, classes], self._margin(norms))
        logits = cosine.scatter(1, classes[:, None], target[:, None])
        shortness: Tensor = (1 / norms + norms / settings.most_norm**2).mean()
        loss = functional.cross_entropy(settings.scale * logits, classes)
        return loss + settings.norm_weight * shortness

    def _margin(self, norms: Tensor) -> Tensor:
        """Radians (N,): linear between the least and the most norm."""
        settings = self.settings
        slope = (settings.most_margin_rad - settings.least_margin_rad) / (
            settings.most_norm - settings.least_norm
        )
        return settings.least_margin_rad + slope * (norms - settings.least_norm)

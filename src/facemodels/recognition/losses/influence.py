"""The influence loss: the old model's people, fixed, tell the new network where to put faces.

Source: Shen et al., "Towards Backward-Compatible Representation Learning", CVPR 2020. The new
features go through the old model's classifier, whose weights do not learn, beside the loss of
the new network's own. An old model comes here as a package, which has no classifier, so each
person has the weights that the paper gives people whom the old model has not seen: the mean of
the old model's embeddings (`recognition.compatible`). That serves old models of every loss.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from facemodels.recognition.losses.class_weights import EDGE, cosines, with_margin
from facemodels.recognition.losses.settings import InfluenceSettings


class InfluenceHead(nn.Module):
    """A loss over people, with the cross-entropy against an old model's prototypes beside it.

    The prototypes are a buffer: they move to the device and into the checkpoint, and never learn.
    """

    prototypes: Tensor

    def __init__(
        self, own: nn.Module, prototypes: NDArray[np.float32], settings: InfluenceSettings
    ) -> None:
        """Take the new network's own loss and the old model's prototypes.

        Args:
            own: the head of the new network's loss, as `heads.head` makes it.
            prototypes: float32 (C, D), of unit length, in the order of the classes.
            settings: the weight, the margin and the scale of the influence.
        """
        super().__init__()
        self.own = own
        self.settings = settings
        self.register_buffer("prototypes", torch.from_numpy(prototypes.T.copy()))

    def forward(self, features: Tensor, classes: Tensor) -> Tensor:
        """Return the loss of features (N, D) of people (N,)."""
        value: Tensor = self.own(features, classes)
        return value + self.settings.weight * self.influence(features, classes)

    def influence(self, features: Tensor, classes: Tensor) -> Tensor:
        """Return the mean cross-entropy of features (N, D) among the old people, with a margin.

        Without the margin it would be content with features that are nearer to their own person
        than to others, however far.
        """
        settings = self.settings
        cosine = cosines(features, self.prototypes).clamp(-1 + EDGE, 1 - EDGE)
        rows = torch.arange(len(classes), device=classes.device)
        margin = torch.full_like(cosine[rows, classes], settings.margin_rad)
        target = with_margin(cosine[rows, classes], margin)
        logits = cosine.scatter(1, classes[:, None], target[:, None])
        return functional.cross_entropy(settings.scale * logits, classes)

"""The loss of distillation: how far the features point from the teacher's embeddings.

Source: Hinton et al., "Distilling the Knowledge in a Neural Network", 2015, for embeddings
instead of classes, as Romero et al., "FitNets", ICLR 2015, have it for features.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class DistillationHead(nn.Module):
    """The squared distance of unit vectors; it has no weights of its own."""

    def forward(self, features: Tensor, targets: Tensor) -> Tensor:
        """Return the mean, 0..4, over features (N, D) of any length and unit targets (N, D)."""
        return (functional.normalize(features, dim=1) - targets).square().sum(dim=1).mean()

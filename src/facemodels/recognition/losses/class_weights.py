"""The weights (D, C) that stand for the people in a loss over classes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# Of random weights, as in InsightFace's heads. Only their direction counts, and a step of
# AdamW has one length, so that small ones turn quickly.
SPREAD = 0.01


def class_weights(embedding_size: int, classes: int) -> nn.Parameter:
    """Random weights (D, C) from torch's generator."""
    return nn.Parameter(torch.randn(embedding_size, classes) * SPREAD)


def cosines(features: Tensor, weights: Tensor) -> Tensor:
    """Cosines (N, C), -1..1, of features (N, D) and weights (D, C) of any length."""
    return functional.normalize(features, dim=1) @ functional.normalize(weights, dim=0)

"""The weights (D, C) that stand for the people in a loss over classes."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

# Of random weights, as in InsightFace's heads. Only their direction counts, and a step of
# AdamW has one length, so that small ones turn quickly.
SPREAD = 0.01
EDGE = 1e-6  # keeps cosines away from where the arc cosine has no derivative


def class_weights(embedding_size: int, classes: int) -> nn.Parameter:
    """Random weights (D, C) from torch's generator."""
    return nn.Parameter(torch.randn(embedding_size, classes) * SPREAD)


def cosines(features: Tensor, weights: Tensor) -> Tensor:
    """Cosines (N, C), -1..1, of features (N, D) and weights (D, C) of any length."""
    return functional.normalize(features, dim=1) @ functional.normalize(weights, dim=0)


def with_margin(cosine: Tensor, margin: Tensor) -> Tensor:
    """cos(angle + margin), carried on by a line where the angle would pass 180 degrees.

    The line is that of the authors' code of MagFace, which has it from ArcFace's.
    """
    angle = torch.acos(cosine)
    line = cosine - margin * torch.sin(margin)
    return torch.where(angle + margin < math.pi, torch.cos(angle + margin), line)

"""From the name of a loss to the module that computes it."""

from __future__ import annotations

import math
from functools import partial

from torch import Tensor, nn
from torch.nn import functional

from facemodels.recognition.losses.adaface import AdaFaceHead
from facemodels.recognition.losses.class_weights import SPREAD
from facemodels.recognition.losses.distillation import DistillationHead
from facemodels.recognition.losses.magface import MagFaceHead
from facemodels.recognition.losses.sampled import SampledClasses
from facemodels.recognition.losses.settings import LossName, LossSettings, SoftmaxSettings
from facemodels.recognition.losses.triplets import TripletHead


def head(
    name: LossName, settings: LossSettings, *, classes: int, embedding_size: int, least: int = 1
) -> nn.Module:
    """Make the head of a loss, with random class weights from torch's generator.

    Args:
        name: the loss.
        settings: the hyperparameters of all losses.
        classes: C, the people of the training split.
        embedding_size: D.
        least: people of a batch, all of whom are in the sample of a step.
    """
    size = min(classes, max(least, math.ceil(settings.sample_rate * classes)))
    if size == classes:
        return _head(name, settings, classes=classes, embedding_size=embedding_size)
    make = partial(_head, name, settings, embedding_size=embedding_size)
    return SampledClasses(
        lambda sampled: make(classes=sampled),
        classes=classes,
        size=size,
        embedding_size=embedding_size,
    )


def _head(
    name: LossName, settings: LossSettings, *, classes: int, embedding_size: int
) -> nn.Module:
    """The head of a loss that sees all of its classes."""
    made: nn.Module
    match name:
        case "arcface":
            made = _arcface(settings, classes, embedding_size)
        case "cosface":
            made = _cosface(settings, classes, embedding_size)
        case "adaface":
            made = AdaFaceHead(settings.adaface, classes, embedding_size)
        case "magface":
            made = MagFaceHead(settings.magface, classes, embedding_size)
        case "softmax":
            made = _softmax(settings.softmax, classes, embedding_size)
        case "triplet":
            made = TripletHead(settings.triplet)
        case "distillation":
            made = DistillationHead()
    return made


class SoftmaxHead(nn.Module):
    """Cross-entropy of a fully connected layer over the features as they are."""

    def __init__(self, classes: int, embedding_size: int) -> None:
        super().__init__()
        self.scores = nn.Linear(embedding_size, classes)

    def forward(self, features: Tensor, classes: Tensor) -> Tensor:
        """Return the mean cross-entropy of features (N, D) of people (N,)."""
        return functional.cross_entropy(self.scores(features), classes)


def _arcface(settings: LossSettings, classes: int, embedding_size: int) -> nn.Module:
    from pytorch_metric_learning import losses

    made: nn.Module = losses.ArcFaceLoss(
        classes,
        embedding_size,
        margin=math.degrees(settings.arcface.margin_rad),
        scale=settings.arcface.scale,
        weight_init_func=_random,
    )
    return made


def _cosface(settings: LossSettings, classes: int, embedding_size: int) -> nn.Module:
    from pytorch_metric_learning import losses

    made: nn.Module = losses.CosFaceLoss(
        classes,
        embedding_size,
        margin=settings.cosface.margin,
        scale=settings.cosface.scale,
        weight_init_func=_random,
    )
    return made


def _softmax(settings: SoftmaxSettings, classes: int, embedding_size: int) -> nn.Module:
    from pytorch_metric_learning import losses

    if not settings.normalised:
        return SoftmaxHead(classes, embedding_size)
    made: nn.Module = losses.NormalizedSoftmaxLoss(
        classes, embedding_size, temperature=1 / settings.scale, weight_init_func=_random
    )
    return made


def _random(weights: nn.Parameter) -> None:
    nn.init.normal_(weights, std=SPREAD)

"""The hyperparameters of the losses; the defaults are those of the papers.

A small dataset wants a smaller scale and margin than these, which were found on millions of
images: conf/ says what our models use.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from facemodels.params import Frozen
from facemodels.training.settings import Positive

LossName = Literal["arcface", "cosface", "adaface", "magface", "softmax", "triplet", "distillation"]


class ArcFaceSettings(Frozen):
    """Deng et al., "ArcFace", CVPR 2019: a margin on the angle."""

    margin_rad: Annotated[float, Field(ge=0, lt=1.6)] = 0.5
    scale: Positive = 64.0  # of the cosines, the inverse of a temperature


class CosFaceSettings(Frozen):
    """Wang et al., "CosFace", CVPR 2018: a margin on the cosine."""

    margin: Annotated[float, Field(ge=0, lt=1)] = 0.35
    scale: Positive = 64.0


class AdaFaceSettings(Frozen):
    """Kim et al., "AdaFace", CVPR 2022: a margin that depends on the feature's norm."""

    margin: Annotated[float, Field(ge=0, lt=1)] = 0.4
    concentration: Positive = 0.333  # h: standard deviations, inverse, that reach the ends
    momentum: Annotated[float, Field(gt=0, le=1)] = 0.01  # of the norms' mean and deviation
    scale: Positive = 64.0


class MagFaceSettings(Frozen):
    """Meng et al., "MagFace", CVPR 2021: a longer feature has a larger margin."""

    least_norm: Positive = 10.0
    most_norm: Positive = 110.0
    least_margin_rad: Annotated[float, Field(ge=0, lt=1.6)] = 0.45
    most_margin_rad: Annotated[float, Field(ge=0, lt=1.6)] = 0.8
    norm_weight: Annotated[float, Field(ge=0)] = 35.0  # lambda_g, of the term that wants long ones
    scale: Positive = 64.0


class SoftmaxSettings(Frozen):
    """Cross-entropy over the people: of cosines, or of plain products with a bias."""

    normalised: bool = True  # Zhai and Wu, "Classification is a strong baseline", BMVC 2019
    scale: Positive = 20.0  # of the cosines; plain products have none


class TripletSettings(Frozen):
    """Schroff et al., "FaceNet", CVPR 2015, with semi-hard negatives."""

    margin: Positive = 0.2  # of the distance between unit embeddings


class DistillationSettings(Frozen):
    """Learning the embeddings that another model gives; see `recognition.distillation`."""

    teacher: str = ""  # folder of a recogniser's package
    mixup: Annotated[float, Field(ge=0, le=1)] = 0.5  # share of the views that blend two faces
    # Without the mean of the teacher's embeddings, which often lie in a narrow cone.
    centred: bool = True


class InfluenceSettings(Frozen):
    """Shen et al., "Towards Backward-Compatible Representation Learning", CVPR 2020.

    The term that `train.compatible_with` adds to the loss; see `recognition.losses.influence`.
    """

    weight: Positive = 1.0  # of the term, beside the network's own loss
    # As ArcFace's, which the paper's term takes over from the network's own loss.
    margin_rad: Annotated[float, Field(ge=0, lt=1.6)] = 0.5
    scale: Positive = 64.0


class LossSettings(Frozen):
    """The hyperparameters of every loss; `train.loss` chooses one."""

    # Of the people whom a loss over people sees in a step; 1: all, as without `losses.sampled`.
    # Left out of training.json where it is 1, which says no more than its absence.
    sample_rate: Annotated[float, Field(gt=0, le=1, exclude_if=lambda rate: rate == 1)] = 1.0

    arcface: ArcFaceSettings = ArcFaceSettings()
    cosface: CosFaceSettings = CosFaceSettings()
    adaface: AdaFaceSettings = AdaFaceSettings()
    magface: MagFaceSettings = MagFaceSettings()
    softmax: SoftmaxSettings = SoftmaxSettings()
    triplet: TripletSettings = TripletSettings()
    distillation: DistillationSettings = DistillationSettings()
    influence: InfluenceSettings = InfluenceSettings()

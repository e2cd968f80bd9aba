"""The influence loss against its formula, beside every loss over people."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from facemodels.errors import ParamsError
from facemodels.params import parse
from facemodels.recognition.learning import EmbeddingTraining
from facemodels.recognition.losses.heads import head
from facemodels.recognition.losses.influence import InfluenceHead
from facemodels.recognition.losses.settings import InfluenceSettings

from .test_heads import CROPS, PEOPLE, SETTINGS, TRAIN, D, crops, value  # noqa: F401

LOSSES = ("arcface", "cosface", "adaface", "magface", "softmax", "triplet")
INFLUENCE = InfluenceSettings(weight=0.7, margin_rad=0.4, scale=10)


def prototypes(seed: int = 5) -> np.ndarray:
    directions = np.random.default_rng(seed).normal(size=(PEOPLE, D)).astype(np.float32)
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def pair(name: str) -> tuple[torch.nn.Module, InfluenceHead]:
    """A loss alone, and the same with the influence beside it."""
    made = []
    for _ in range(2):
        torch.manual_seed(1)
        made.append(head(name, SETTINGS, classes=PEOPLE, embedding_size=D))
    return made[0].double(), InfluenceHead(made[1], prototypes(), INFLUENCE).double()


def cross_entropy(features: np.ndarray, people: np.ndarray) -> float:
    """Mean of -log of the softmax of 10 cos, one crop and one person after the other.

    The own person's angle is 0.4 larger.
    """
    losses = []
    for feature, person in zip(features, people, strict=True):
        norm = math.sqrt(float(feature @ feature))
        logits = [10 * float(feature @ old) / norm for old in prototypes().astype(np.float64)]
        angle = math.acos(logits[person] / 10)
        beyond = angle + 0.4 > math.pi
        target = math.cos(angle) - 0.4 * math.sin(0.4) if beyond else math.cos(angle + 0.4)
        logits[person] = 10 * target
        losses.append(math.log(sum(map(math.exp, logits))) - logits[person])
    return float(np.mean(losses))


@pytest.mark.parametrize("name", LOSSES)
def test_the_influence_is_the_weighted_cross_entropy_against_the_old_prototypes(
    name: str,
    crops,  # noqa: F811
) -> None:
    own, both = pair(name)
    wanted = value(own, crops) + 0.7 * cross_entropy(*crops)
    assert value(both, crops) == pytest.approx(wanted, abs=1e-6)


def test_the_prototypes_never_learn_and_are_in_a_checkpoint() -> None:
    _, both = pair("arcface")
    assert "prototypes" in both.state_dict()
    assert {name for name, _ in both.named_parameters()} == {"own.W"}


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_of_the_influence_agrees_with_finite_differences(name: str) -> None:
    _, both = pair(name)
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(CROPS, D, generator=generator, dtype=torch.float64, requires_grad=True)
    people = torch.arange(CROPS) % PEOPLE
    assert torch.autograd.gradcheck(lambda given: both.influence(given, people), features)


def test_features_come_to_their_old_prototypes() -> None:
    _, both = pair("magface")
    generator = torch.Generator().manual_seed(2)
    features = torch.nn.Parameter(torch.randn(CROPS, D, generator=generator, dtype=torch.float64))
    people = torch.arange(CROPS) % PEOPLE
    own = both.prototypes[:, people].T

    def closeness() -> float:
        return torch.nn.functional.cosine_similarity(features, own).mean().item()

    before = closeness()
    optimizer = torch.optim.AdamW([features], lr=0.05)
    for _ in range(40):
        optimizer.zero_grad()
        both.influence(features, people).backward()
        optimizer.step()
    assert closeness() > before + 0.3


def test_distillation_has_no_people_to_keep() -> None:
    settings = {
        **TRAIN, "loss": "distillation", "compatible_with": "models/recognition/dlib-v1.0.0",
        "losses": {"distillation": {"teacher": "models/recognition/dlib-v1.0.0"}},
    }  # fmt: skip
    with pytest.raises(ParamsError, match="compatible_with needs"):
        parse(EmbeddingTraining, settings, "train")


@pytest.mark.parametrize("weight", [0, -1])
def test_an_influence_without_weight_is_refused(weight: float) -> None:
    with pytest.raises(ParamsError, match="influence"):
        parse(EmbeddingTraining, {**TRAIN, "losses": {"influence": {"weight": weight}}}, "train")

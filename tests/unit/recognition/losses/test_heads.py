"""Each loss against its paper's formula, one crop and one person after the other."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from facemodels.errors import ParamsError
from facemodels.params import parse
from facemodels.recognition.learning import EmbeddingTraining
from facemodels.recognition.losses.heads import SoftmaxHead, head
from facemodels.recognition.losses.settings import LossSettings
from facemodels.training.loop import deterministic

CROPS, PEOPLE, D = 12, 7, 5
SETTINGS = LossSettings.model_validate(
    {
        "arcface": {"margin_rad": 0.4, "scale": 10},
        "cosface": {"margin": 0.3, "scale": 10},
        "adaface": {"margin": 0.4, "concentration": 0.333, "momentum": 0.2, "scale": 10},
        "magface": {
            "least_norm": 1, "most_norm": 5, "least_margin_rad": 0.2, "most_margin_rad": 0.6,
            "norm_weight": 3, "scale": 10,
        },
        "softmax": {"scale": 10},
    }
)  # fmt: skip


@pytest.fixture(params=range(3))
def crops(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, D) with norms from about 0.3 to 12, and the people (N,) of them."""
    rng = np.random.default_rng(request.param)
    features = rng.normal(size=(CROPS, D)) * rng.uniform(0.2, 5, (CROPS, 1))
    return features, rng.integers(0, PEOPLE, CROPS)


def made(name: str, settings: LossSettings = SETTINGS) -> nn.Module:
    torch.manual_seed(1)
    return head(name, settings, classes=PEOPLE, embedding_size=D).double()


def value(module: nn.Module, crops: tuple[np.ndarray, np.ndarray]) -> float:
    return module(torch.tensor(crops[0]), torch.tensor(crops[1])).item()


def expected(
    crops: tuple[np.ndarray, np.ndarray],
    weights: np.ndarray,
    target: Callable[[float, float], float],
) -> float:
    """Mean of -log softmax of 10 cos, where the own person's cosine is `target(angle, norm)`."""
    losses = []
    for feature, person in zip(*crops, strict=True):
        norm = math.sqrt(float(feature @ feature))
        logits = []
        for other in range(PEOPLE):
            weight = weights[:, other]
            cosine = float(feature @ weight) / norm / math.sqrt(float(weight @ weight))
            logits.append(10 * (target(math.acos(cosine), norm) if other == person else cosine))
        losses.append(math.log(sum(map(math.exp, logits))) - logits[person])
    return float(np.mean(losses))


def test_arcface_adds_its_margin_to_the_angle(crops) -> None:
    module = made("arcface")

    def target(angle: float, norm: float) -> float:
        beyond = angle + 0.4 > math.pi
        return math.cos(angle) - 0.4 * math.sin(0.4) if beyond else math.cos(angle + 0.4)

    weights = module.W.detach().numpy()
    assert value(module, crops) == pytest.approx(expected(crops, weights, target), abs=1e-6)


def test_cosface_takes_its_margin_from_the_cosine(crops) -> None:
    module = made("cosface")
    weights = module.W.detach().numpy()
    wanted = expected(crops, weights, lambda angle, norm: math.cos(angle) - 0.3)
    assert value(module, crops) == pytest.approx(wanted, abs=1e-6)


def test_normalised_softmax_is_the_cross_entropy_of_scaled_cosines(crops) -> None:
    module = made("softmax")
    weights = module.W.detach().numpy()
    wanted = expected(crops, weights, lambda angle, norm: math.cos(angle))
    assert value(module, crops) == pytest.approx(wanted, abs=1e-6)


def test_plain_softmax_is_the_cross_entropy_of_a_layer(crops) -> None:
    settings = LossSettings.model_validate({"softmax": {"normalised": False}})
    module = made("softmax", settings)
    assert isinstance(module, SoftmaxHead)
    scores = crops[0] @ module.scores.weight.detach().numpy().T
    scores += module.scores.bias.detach().numpy()
    log_shares = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    wanted = -log_shares[np.arange(CROPS), crops[1]].mean()
    assert value(module, crops) == pytest.approx(wanted, abs=1e-9)


def test_adafaces_margins_follow_the_norm_among_those_seen_so_far(crops) -> None:
    module = made("adaface")
    mean, deviation = 20.0, 100.0  # where the authors' code starts
    weights = module.weights.detach().numpy()
    for _ in range(3):
        norms = np.linalg.norm(crops[0], axis=1).clip(1e-3, 100)
        mean += 0.2 * (norms.mean() - mean)
        deviation += 0.2 * (norms.std(ddof=1) - deviation)

        def target(angle: float, norm: float, at: tuple[float, float] = (mean, deviation)) -> float:
            quality = float(np.clip((norm - at[0]) / (at[1] + 1e-3) * 0.333, -1, 1))
            moved = min(max(angle - 0.4 * quality, 1e-3), math.pi - 1e-3)
            return math.cos(moved) - (0.4 + 0.4 * quality)

        wanted = expected(crops, weights, target)
        assert value(module, crops) == pytest.approx(wanted, abs=1e-6)


def test_adaface_in_eval_mode_leaves_its_running_statistics_alone(crops) -> None:
    module = made("adaface").eval()
    value(module, crops)
    assert (module.mean.item(), module.deviation.item()) == (20, 100)


def test_magfaces_margin_grows_with_the_norm_and_long_features_cost_less(crops) -> None:
    module = made("magface")
    weights = module.weights.detach().numpy()

    def target(angle: float, norm: float) -> float:
        margin = 0.2 + (0.6 - 0.2) * (min(max(norm, 1), 5) - 1) / 4
        if angle + margin >= math.pi:
            return math.cos(angle) - margin * math.sin(margin)
        return math.cos(angle + margin)

    norms = np.linalg.norm(crops[0], axis=1).clip(1, 5)
    shortness = np.mean(1 / norms + norms / 25)
    wanted = expected(crops, weights, target) + 3 * shortness
    assert value(module, crops) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("name", ["arcface", "cosface", "adaface", "magface", "softmax"])
def test_a_few_steps_bring_a_head_and_its_features_to_a_smaller_loss(name: str) -> None:
    generator = torch.Generator().manual_seed(2)
    features = nn.Parameter(torch.randn(CROPS, D, generator=generator) * 3)
    people = torch.arange(CROPS) % PEOPLE
    torch.manual_seed(1)
    module = head(name, SETTINGS, classes=PEOPLE, embedding_size=D)
    optimizer = torch.optim.AdamW([features, *module.parameters()], lr=0.05)
    losses = []
    with deterministic(1, 1):  # refuses an operation that does not repeat itself
        for _ in range(30):
            loss = module(features, people)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


TRAIN = {
    "seed": 1, "threads": 1, "device": "cpu", "mixed_precision": False, "steps": 2,
    "learning_rate": 0.001, "warmup_steps": 1, "final_learning_rate": 0.1, "weight_decay": 0.01,
    "clip_norm": 5.0, "ema_decay": 0.0, "validate_every": 2, "checkpoint_every": 2, "patience": 0,
    "batch_people": 4, "batch_images": 1, "loss": "arcface",
    "augmentation": dict.fromkeys(
        ("flip", "shift", "zoom", "brightness", "contrast", "tint"), 0
    ),
}  # fmt: skip


def test_one_image_of_each_person_is_enough_for_classes_and_not_for_triplets() -> None:
    assert parse(EmbeddingTraining, TRAIN, "train").batch_images == 1
    with pytest.raises(ParamsError, match="batch_images"):
        parse(EmbeddingTraining, TRAIN | {"loss": "triplet"}, "train")


def test_an_unknown_loss_is_refused() -> None:
    with pytest.raises(ParamsError, match="loss"):
        parse(EmbeddingTraining, TRAIN | {"loss": "hinge"}, "train")

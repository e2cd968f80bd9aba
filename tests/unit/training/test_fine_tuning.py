"""Frozen parameters, and a learning rate for each group: what stays, what moves, how fast."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from facemodels.errors import InputError
from facemodels.training.fine_tuning import fine_tuning
from facemodels.training.loop import Trainer, deterministic
from facemodels.training.settings import TorchTraining

BASE = {
    "seed": 3, "threads": 1, "device": "cpu", "mixed_precision": False, "steps": 6,
    "learning_rate": 0.01, "warmup_steps": 2, "final_learning_rate": 0.1, "weight_decay": 0.1,
    "clip_norm": 1.0, "ema_decay": 0.0, "validate_every": 3, "checkpoint_every": 2, "patience": 0,
}  # fmt: skip


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU())
        self.plain = nn.BatchNorm1d(8, affine=False)
        self.last = nn.Linear(8, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.last(self.plain(self.stem(inputs)))


class Task:
    monitor = "val_score"

    def __init__(self) -> None:
        self.head = nn.Linear(2, 1)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        inputs = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
        return inputs, inputs.sum(dim=1, keepdim=True)

    def outputs(self, network: nn.Module, inputs: Tensor) -> Tensor:
        return network(inputs)

    def loss(self, network: nn.Module, outputs: Tensor, answers: Tensor) -> Tensor:
        return (self.head(outputs) - answers).square().mean()

    def validate(self, network: nn.Module) -> dict[str, float]:
        return {"val_score": 0.0}


class Killed(Exception):
    """Ends a training as a signal would."""


def train(folder: Path, *, killed_at: int = 0, **changes: object):
    """Weights before and after, and the trainer."""
    settings = TorchTraining.model_validate({**BASE, **changes})
    folder.mkdir(exist_ok=True)
    done: list[int] = []

    def advance(units: int) -> None:
        done.append(units)
        if killed_at and sum(done) == killed_at:
            raise Killed

    with deterministic(1, 3):
        network = Network()
        before = {name: value.clone() for name, value in network.state_dict().items()}
        trainer = Trainer(network, Task(), settings)
        after = trainer.run(folder / "checkpoint.pt", advance=advance, log=lambda record: None)
    return before, after, trainer


def unmoved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name in before if torch.equal(before[name], after[name])}


STEM = {f"stem.0.{name}" for name in ("weight", "bias")} | {
    f"stem.1.{name}"
    for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
}
PLAIN = {"plain.running_mean", "plain.running_var", "plain.num_batches_tracked"}


@pytest.mark.parametrize(
    ("frozen", "stays"),
    [
        ([], set()),
        (["stem.*"], STEM),
        (["stem.1.weight"], {"stem.1.weight"}),  # the statistics of a half frozen norm move
        (["stem.1.weight", "stem.1.bias"], {name for name in STEM if name.startswith("stem.1")}),
        (["plain.*"], PLAIN),
        (["*.0.*", "last.bias"], {"stem.0.weight", "stem.0.bias", "last.bias"}),
    ],
)
@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_what_is_frozen_is_equal_to_the_bit_and_all_else_moves(
    tmp_path: Path, frozen: list[str], stays: set[str], ema: float
) -> None:
    before, after, _ = train(tmp_path, frozen=frozen, ema_decay=ema)
    assert unmoved(before, after) == stays


def test_a_fine_tuning_that_was_killed_ends_in_the_same_weights(tmp_path: Path) -> None:
    changes = {"frozen": ["stem.*"], "learning_rate_factors": {"last.*": 0.1}}
    _, whole, _ = train(tmp_path / "whole", **changes)
    with pytest.raises(Killed):
        train(tmp_path / "killed", killed_at=5, **changes)
    _, resumed, _ = train(tmp_path / "killed", **changes)
    assert unmoved(whole, resumed) == set(whole)


def test_factors_reach_the_optimizer_at_every_step(tmp_path: Path) -> None:
    factors = {"stem.*": 0.1, "loss.*": 10.0}
    _, _, trainer = train(tmp_path, learning_rate_factors=factors)
    names = {id(value): name for name, value in trainer.network.named_parameters()}
    names |= {id(value): f"loss.{name}" for name, value in trainer.head.named_parameters()}
    base = trainer.settings.learning_rate_at(BASE["steps"] - 1)
    seen = {}
    for group in trainer.optimizer.param_groups:
        for value in group["params"]:
            name = names[id(value)]
            seen[name] = group["lr"] / base
            assert group["weight_decay"] == (0.1 if value.ndim > 1 else 0.0)
    assert seen == {
        name: pytest.approx(0.1 if name.startswith("stem") else 10 if "loss" in name else 1)
        for name in names.values()
    }


def test_a_smaller_factor_moves_less(tmp_path: Path) -> None:
    def way(**changes: object) -> float:
        before, after, _ = train(tmp_path / str(len(changes)), weight_decay=0.0, **changes)
        return float((before["stem.0.weight"] - after["stem.0.weight"]).abs().max())

    whole = way()
    assert 0 < way(learning_rate_factors={"stem.*": 0.01}) < 0.05 * whole


def test_without_patterns_there_are_the_two_groups_of_before() -> None:
    network = Network()
    tuning = fine_tuning(network, nn.Identity(), frozen=(), factors={}, weight_decay=0.1)
    assert [group["weight_decay"] for group in tuning.groups] == [0.1, 0.0]
    assert [len(group["params"]) for group in tuning.groups] == [2, 4]
    assert tuning.still == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"frozen": ["stem"]}, r"train\.frozen: 'stem' names nothing .*There are stem\.0\.weight"),
        ({"frozen": ["layer4.*"]}, r"last\.weight, last\.bias, loss\.weight"),
        ({"learning_rate_factors": {"x": 2}}, r"learning_rate_factors: 'x' names nothing"),
        (
            {"frozen": ["stem.*"], "learning_rate_factors": {"stem.*": 0.1}},
            r"'stem\.\*' names nothing that can be trained",
        ),
        (
            {"learning_rate_factors": {"stem.*": 0.1, "*.weight": 0.5}},
            r"'stem\.\*' and '\*\.weight' both name stem\.0\.weight, with the factors 0\.1 and 0\.5",
        ),
        ({"frozen": ["*"]}, "nothing is left to train"),
    ],
)
def test_patterns_that_cannot_be_meant_are_named(tmp_path: Path, changes: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        train(tmp_path, **changes)


def test_two_patterns_may_name_a_parameter_with_one_factor(tmp_path: Path) -> None:
    train(tmp_path, learning_rate_factors={"stem.*": 0.1, "stem.0.*": 0.1})


def test_a_long_list_of_names_is_shortened_to_patterns() -> None:
    class Deep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.Sequential(
                *(nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1)) for _ in range(15))
            )

    with pytest.raises(InputError, match=r"There are blocks\.0\.0\.\*, blocks\.0\.1\.\*, blocks"):
        fine_tuning(Deep(), nn.Identity(), frozen=["x"], factors={}, weight_decay=0)

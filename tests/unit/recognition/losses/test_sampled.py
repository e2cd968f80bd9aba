"""A sample of the classes in every step: who learns, who rests, and what memory it takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.unit.training.test_loop import BASE, Killed, settings
from torch import Tensor, nn

from facemodels.recognition.losses.heads import head
from facemodels.recognition.losses.sampled import SampledClasses
from facemodels.recognition.losses.settings import LossSettings
from facemodels.training.loop import Trainer, deterministic

CLASSES, D, N = 60, 8, 8
OVER_CLASSES = ("arcface", "cosface", "adaface", "magface", "softmax")


def sampled(loss: str, rate: float, classes: int = CLASSES, d: int = D) -> nn.Module:
    return head(loss, LossSettings(sample_rate=rate), classes=classes, embedding_size=d, least=N)


class Faces:
    """Learns to tell random people apart."""

    monitor = "val_score"

    def __init__(self) -> None:
        self.head = sampled("arcface", 0.25)
        self.seen: list[Tensor] = []

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(step)
        return torch.randn(N, 4, generator=generator), torch.randint(
            CLASSES, (N,), generator=generator
        )

    def outputs(self, network: nn.Module, inputs: Tensor) -> Tensor:
        return network(inputs)

    def loss(self, network: nn.Module, outputs: Tensor, answers: Tensor) -> Tensor:
        value = self.head(outputs, answers)
        self.seen.append(self.head.sample.clone())
        assert torch.isin(answers, self.head.sample).all()
        return value

    def validate(self, network: nn.Module) -> dict[str, float]:
        return {"val_score": 0.0}


def trained(folder: Path, workers: int = 1, stop_after: int = 0) -> tuple[Tensor, Faces]:
    """The network's weights and those of all people; a run may be stopped and goes on."""
    done: list[int] = []

    def advance(units: int) -> None:
        done.append(units)
        if stop_after and sum(done) == stop_after:
            raise Killed

    with deterministic(1, BASE["seed"]):
        task = Faces()
        trainer = Trainer(nn.Linear(4, D), task, settings(micro_batches=4), workers=workers)
        try:
            state = trainer.run(folder / "c.pt", advance=advance, log=lambda record: None)
        except Killed:
            return trained(folder, workers)
    task.head._exchange(task.head.sample)  # brings what the last step learned back to the others
    return torch.cat([state["weight"].flatten(), task.head.weights.flatten()]), task


def test_workers_and_a_resumed_run_draw_the_same_people_and_give_the_same_bits(
    tmp_path: Path,
) -> None:
    for name in ("one", "three", "resumed"):
        (tmp_path / name).mkdir()
    weights, task = trained(tmp_path / "one")
    assert len({tuple(sample.tolist()) for sample in task.seen}) == len(task.seen) == 12
    assert {len(sample) for sample in task.seen} == {15}
    assert torch.equal(weights, trained(tmp_path / "three", workers=3)[0])
    assert torch.equal(weights, trained(tmp_path / "resumed", stop_after=8)[0])


@pytest.mark.parametrize("loss", OVER_CLASSES)
def test_people_who_are_not_drawn_neither_decay_nor_move(loss: str) -> None:
    torch.manual_seed(0)
    module = sampled(loss, 0.25)
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.1, weight_decay=0.5)
    module.attach(optimizer)
    for _ in range(4):
        before = module.weights.clone(), module.moments.clone()
        optimizer.zero_grad()
        module(torch.randn(N, D), torch.randint(CLASSES, (N,))).backward()
        optimizer.step()
        module._exchange(module.sample)
        rest = torch.ones(CLASSES, dtype=torch.bool)
        rest[module.sample] = False
        assert torch.equal(module.weights[rest], before[0][rest])
        assert torch.equal(module.moments[:, rest], before[1][:, rest])
        assert (module.weights[~rest] != before[0][~rest]).any(dim=1).all()


@pytest.mark.parametrize("loss", OVER_CLASSES)
def test_the_loss_is_that_of_the_head_over_the_people_who_are_drawn(loss: str) -> None:
    torch.manual_seed(0)
    module, features, people = sampled(loss, 0.25), torch.randn(N, D), torch.arange(N) * 7
    value = module(features, people)
    alone = head(loss, LossSettings(), classes=15, embedding_size=D)
    (weights,) = alone.parameters()
    weights.data = module.weights[module.sample].T.contiguous()
    assert torch.equal(value, alone(features, torch.searchsorted(module.sample, people)))


def held(rate: float, classes: int, d: int, rows: int) -> tuple[int, int]:
    """Bytes of a head with its optimizer after a step, and those kept for the way back."""
    module = sampled("arcface", rate, classes, d)
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.1, fused=True)
    if isinstance(module, SampledClasses):
        module.attach(optimizer)
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = module(torch.randn(rows, d, requires_grad=True), torch.randint(classes, (rows,)))
    loss.backward()
    optimizer.step()
    tensors = [*module.state_dict().values(), *(p.grad for p in module.parameters())]
    for state in optimizer.state.values():
        tensors += [state["exp_avg"], state["exp_avg_sq"]]
    return sum(tensor.nbytes for tensor in tensors), sum(kept.values())


def test_memory_at_100_000_people_is_what_the_formula_says() -> None:
    classes, d, rows = 100_000, 32, 64
    size = classes // 10
    state, graph = held(0.1, classes, d, rows)
    assert state == 12 * classes * d + 16 * size * d + 8 * size  # and the numbers of the sample
    whole, whole_graph = held(1.0, classes, d, rows)
    assert whole == 16 * classes * d
    assert graph < 3 * 4 * rows * size + 2 * 4 * size * d
    assert whole_graph > 8 * graph

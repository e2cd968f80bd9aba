from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from tests.bounded import bounded
from torch import Tensor, nn

from facemodels.errors import InputError
from facemodels.training.finite import IDLE_STEPS, DivergedError
from facemodels.training.loop import Trainer, deterministic
from facemodels.training.settings import TorchTraining
from facemodels.training.weights import load_state, save_state

BASE = {
    "seed": 3, "threads": 1, "device": "cpu", "mixed_precision": False, "steps": 12,
    "learning_rate": 0.01, "warmup_steps": 2, "final_learning_rate": 0.1, "weight_decay": 0.01,
    "clip_norm": 1.0, "ema_decay": 0.5, "validate_every": 4, "checkpoint_every": 3, "patience": 0,
}  # fmt: skip


def settings(**changes: object) -> TorchTraining:
    return TorchTraining.model_validate({**BASE, **changes})


class Regression:
    """Fits a line; batches are a function of the step, as the loop wants them."""

    monitor = "val_score"

    def __init__(self, scores: list[float] | None = None) -> None:
        self.scores = scores or []

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(step)
        inputs = torch.randn(8, 4, generator=generator)
        return inputs, inputs.sum(dim=1, keepdim=True)

    def outputs(self, network: nn.Module, inputs: Tensor) -> Tensor:
        return network(inputs)

    def loss(self, network: nn.Module, outputs: Tensor, answers: Tensor) -> Tensor:
        return (outputs - answers).square().mean()

    def validate(self, network: nn.Module) -> dict[str, float]:
        inputs, answers = self.batch(10_000)
        loss = self.loss(network, network(inputs), answers).item()
        return {"val_score": self.scores.pop(0) if self.scores else -loss}


def network() -> nn.Module:
    layers = (nn.Linear(4, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, 1))
    return nn.Sequential(*layers)


def train(checkpoint: Path, task: Regression | None = None, **changes: object):
    chosen, records, done = settings(**changes), [], []
    with deterministic(chosen.threads, chosen.seed):
        trainer = Trainer(network(), task or Regression(), chosen)
        state = trainer.run(checkpoint, advance=done.append, log=records.append)
    return state, records, sum(done)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


class Killed(Exception):
    """The test's own power cut."""


class Dying(Regression):
    """A task whose process dies in the middle of a step."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.left = at

    def loss(self, network: nn.Module, outputs: Tensor, answers: Tensor) -> Tensor:
        self.left -= 1
        if self.left < 0:
            raise Killed
        return super().loss(network, outputs, answers)


@pytest.mark.parametrize("at", bounded(range(12), (0, 2, 3, 4, 11)))
@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_a_training_killed_at_any_step_ends_in_the_same_weights(
    tmp_path: Path, at: int, ema: float
) -> None:
    whole, records, _ = train(tmp_path / "whole.pt", ema_decay=ema)
    with pytest.raises(Killed):
        train(tmp_path / "killed.pt", Dying(at), ema_decay=ema)
    resumed, again, done = train(tmp_path / "killed.pt", ema_decay=ema)
    assert same(whole, resumed)
    assert again == records
    assert done == 12


class Scaled(Regression):
    """Learns a number beside the network, which the model does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(1, 1, bias=False)

    def loss(self, network: nn.Module, outputs: Tensor, answers: Tensor) -> Tensor:
        return (self.head(outputs) - answers).square().mean()


def test_a_head_is_trained_and_resumed_and_is_no_part_of_the_weights(tmp_path: Path) -> None:
    whole_head, head = Scaled(), Scaled()
    before = whole_head.head.weight.detach().clone()
    head.head.load_state_dict(whole_head.head.state_dict())
    whole, _, _ = train(tmp_path / "whole.pt", whole_head)
    train(tmp_path / "part.pt", head)
    resumed_head = Scaled()
    resumed, _, _ = train(tmp_path / "part.pt", resumed_head)
    assert not torch.equal(whole_head.head.weight, before)
    assert torch.equal(whole_head.head.weight, resumed_head.head.weight)
    assert same(whole, resumed)
    assert whole.keys() == network().state_dict().keys()


def test_a_training_killed_by_the_system_ends_in_the_same_bytes(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import os, signal, sys
            from pathlib import Path
            sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[3])]!r}
            import test_loop
            from facemodels.training.weights import save_state

            class Shot(test_loop.Regression):
                def validate(self, network):
                    if sys.argv[-1] == "die" and Path(sys.argv[1], "c.pt").exists():
                        os.kill(os.getpid(), signal.SIGKILL)
                    return super().validate(network)

            for folder in map(Path, sys.argv[1:-1]):
                state, _, _ = test_loop.train(folder / "c.pt", Shot())
                save_state(state, folder / "model.pt")
            """
        )
    )
    folders = [tmp_path / name for name in ("whole", "killed")]
    for folder in folders:
        folder.mkdir()
    call = [sys.executable, str(script)]
    dead = subprocess.run([*call, str(folders[1]), "die"], env=os.environ, check=False)
    assert dead.returncode == -signal.SIGKILL
    assert not (folders[1] / "model.pt").exists()
    subprocess.run([*call, *map(str, folders), "live"], env=os.environ, check=True)
    whole, resumed = ((folder / "model.pt").read_bytes() for folder in folders)
    assert whole == resumed


def test_two_trainings_with_one_seed_give_the_same_weights_and_two_seeds_do_not(tmp_path) -> None:
    one, _, _ = train(tmp_path / "a.pt")
    other, _, _ = train(tmp_path / "b.pt")
    third, _, _ = train(tmp_path / "c.pt", seed=4)
    assert same(one, other)
    assert not same(one, third)


def test_training_learns(tmp_path: Path) -> None:
    _, records, _ = train(tmp_path / "c.pt", steps=200, learning_rate=0.05, ema_decay=0.0)
    assert records[-1]["val_score"] > 5 * records[0]["val_score"]


def test_zero_steps_keep_the_weights_and_validate_them_once(tmp_path: Path) -> None:
    with deterministic(1, BASE["seed"]):
        expected = network().state_dict()
    init = {"file": "weights.pt", "sha256": "0" * 64}
    state, records, done = train(tmp_path / "c", steps=0, init=init)
    assert same(state, expected)
    assert done == 0
    assert [sorted(record) for record in records] == [["step", "val_score"]]
    assert not (tmp_path / "c").exists()


def test_zero_steps_from_scratch_are_refused() -> None:
    with pytest.raises(ValidationError, match="random weights"):
        settings(steps=0)


def test_early_stopping_stops_and_keeps_the_best_weights(tmp_path: Path) -> None:
    scores = [0.1, 0.9, 0.5, 0.4]
    state, records, _ = train(tmp_path / "a.pt", Regression(scores), steps=40, patience=2)
    assert [record["step"] for record in records] == [4, 8, 12, 16]
    # The best validation was at step 8 of a schedule of 40 steps.
    until_best: list[dict[str, Tensor]] = []

    class Watching(Regression):
        def validate(self, network: nn.Module) -> dict[str, float]:
            until_best.append({k: v.clone() for k, v in network.state_dict().items()})
            return super().validate(network)

    train(tmp_path / "b.pt", Watching(), steps=40)
    assert same(state, until_best[1])


def test_bfloat16_that_the_processor_would_emulate_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facemodels.training.devices.settled", lambda: "portable")
    with pytest.raises(InputError, match="determinism=machine"):
        train(tmp_path / "a.pt", mixed_precision=True)


def test_mixed_precision_trains_and_repeats_itself(tmp_path: Path) -> None:
    one, records, _ = train(tmp_path / "a.pt", mixed_precision=True)
    other, _, _ = train(tmp_path / "b.pt", mixed_precision=True)
    plain, _, _ = train(tmp_path / "c.pt")
    assert same(one, other)
    assert not same(one, plain)
    assert all(torch.isfinite(torch.tensor(record["loss"])) for record in records)


def test_a_device_that_is_not_there_is_named(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(InputError, match=r"train\.device"):
        train(tmp_path / "c.pt", device="cuda")


def test_the_learning_rate_warms_up_and_falls_to_its_last_value() -> None:
    chosen = settings(steps=100, warmup_steps=10, learning_rate=1.0, final_learning_rate=0.2)
    rates = [chosen.learning_rate_at(step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[10] == pytest.approx(1.0)
    assert all(a >= b for a, b in zip(rates[10:], rates[11:], strict=False))
    assert rates[100] == pytest.approx(0.2)


def test_equal_weights_give_equal_bytes_under_any_file_name(tmp_path: Path) -> None:
    state = {"a": torch.arange(6.0).reshape(2, 3).t(), "b": torch.ones(2)}
    save_state(state, tmp_path / "one.pt")
    save_state(state, tmp_path / "other-name.pt")
    one, other = ((tmp_path / n).read_bytes() for n in ("one.pt", "other-name.pt"))
    assert one == other


def test_weights_of_another_network_are_refused_with_the_remedy(tmp_path: Path) -> None:
    from facemodels.errors import DataError

    save_state(nn.Linear(2, 2).state_dict(), tmp_path / "w.pt")
    with pytest.raises(DataError, match="config beside it"):
        load_state(network(), tmp_path / "w.pt")
    (tmp_path / "bad.pt").write_bytes(b"not a zip")
    with pytest.raises(DataError):
        load_state(network(), tmp_path / "bad.pt")


def test_a_pickled_object_in_a_weights_file_is_never_unpickled(tmp_path: Path) -> None:
    from facemodels.errors import DataError

    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"a": Trap()}, tmp_path / "trap.pt")
    with pytest.raises(DataError):
        load_state(network(), tmp_path / "trap.pt")
    assert not (tmp_path / "sprung").exists()


class Poisoned(Regression):
    """Its loss, its gradient, a weight or its metric turns to NaN at one step."""

    def __init__(self, at: int, where: str) -> None:
        super().__init__()
        self.at, self.where, self.step = at, where, -1

    def loss(self, network: nn.Module, outputs: Tensor, answers: Tensor) -> Tensor:
        self.step += 1
        value = super().loss(network, outputs, answers)
        if self.step < self.at:
            return value
        if self.where == "gradient":  # the derivative of the root is infinite at 0
            return value + (outputs.sum() * 0).abs().sqrt()
        return value * float("inf" if self.where == "infinite loss" else "nan")

    def validate(self, network: nn.Module) -> dict[str, float]:
        return {"val_score": float("nan") if self.where == "metric" else 1.0}


@pytest.mark.parametrize(
    ("where", "at", "kept"),
    [("loss", 0, 0), ("infinite loss", 5, 3), ("gradient", 7, 6), ("metric", 99, 3)],
)
def test_a_training_stops_where_a_number_is_not_finite_and_the_next_run_is_clean(
    tmp_path: Path, where: str, at: int, kept: int
) -> None:
    checkpoint = tmp_path / "checkpoint.pt"
    step = 3 if where == "metric" else at
    with pytest.raises(DivergedError, match=rf"step {step}\b.*learning_rate"):
        train(checkpoint, Poisoned(at, where))
    assert checkpoint.exists() == bool(kept)
    if kept:
        assert torch.load(checkpoint, weights_only=True)["fit"]["step"] == kept
    assert same(train(checkpoint)[0], train(tmp_path / "whole.pt")[0])


def test_a_rate_that_ruins_the_weights_in_the_last_step_leaves_no_weights(tmp_path: Path) -> None:
    with pytest.raises(DivergedError):
        train(tmp_path / "c.pt", steps=1, warmup_steps=0, learning_rate=1e39, checkpoint_every=1)
    assert not (tmp_path / "c.pt").exists()


def test_a_loss_of_exactly_zero_over_many_steps_is_warned_about_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Idle(Regression):
        def loss(self, network: nn.Module, outputs: Tensor, answers: Tensor) -> Tensor:
            return super().loss(network, outputs, answers) * 0

    train(tmp_path / "c.pt", Idle(), steps=IDLE_STEPS + 12)
    assert capsys.readouterr().err.count(f"exactly 0 for {IDLE_STEPS} steps") == 1

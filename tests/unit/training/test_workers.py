"""The number of processes, and what becomes of them, changes no bit of a training."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.training.test_loop import BASE, Killed, Regression, network, same, settings
from torch import Tensor, nn

from facemodels.errors import InputError
from facemodels.training.flat import FlatLayout
from facemodels.training.launch import first_host, launched
from facemodels.training.loop import Trainer, deterministic
from facemodels.training.tree_sum import tree_sum
from facemodels.training.workers import pieces, team

ROOT = Path(__file__).resolve().parents[3]
TORCHRUN = {"GLOO_SOCKET_IFNAME": "lo", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
MICRO_BATCHES = 4


class Watched(Regression):
    """A task that does something of the test's in a worker, before it sends a part forward."""

    def __init__(self, act: Callable[[int], None]) -> None:
        super().__init__()
        self.act, self.first, self.calls = act, os.getpid(), 0

    def outputs(self, network: nn.Module, inputs: Tensor) -> Tensor:
        if os.getpid() != self.first:
            self.calls += 1
            self.act(self.calls)
        return super().outputs(network, inputs)


def train(
    folder: Path,
    workers: int,
    task: Regression | None = None,
    advance: Callable[[int], None] = lambda units: None,
) -> dict[str, Tensor]:
    chosen = settings(micro_batches=MICRO_BATCHES)
    with deterministic(1, BASE["seed"]):
        trainer = Trainer(network(), task or Regression(), chosen, workers=workers)
        return trainer.run(folder / "c.pt", advance=advance, log=lambda record: None)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """The weights of one process."""
    return train(tmp_path_factory.mktemp("alone"), 1)


@pytest.fixture(autouse=True)
def no_process_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    forked = []
    fork = os.fork
    monkeypatch.setattr(os, "fork", lambda: forked.append(fork()) or forked[-1])
    yield
    for process in forked:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


@pytest.mark.parametrize("workers", [2, 3, 8])
def test_any_number_of_workers_gives_the_bits_of_one(
    workers: int, alone: dict[str, Tensor], tmp_path: Path
) -> None:
    assert same(train(tmp_path, workers), alone)


@pytest.mark.parametrize("at", [1, 2, 11])
def test_killed_workers_change_no_bit(
    at: int, alone: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def shoot(calls: int) -> None:
        if calls == at:
            os.kill(os.getpid(), signal.SIGKILL)

    assert same(train(tmp_path, 3, Watched(shoot)), alone)
    assert capsys.readouterr().err.count("killed by signal 9") == 2


def test_a_run_that_another_number_of_workers_resumes_changes_no_bit(
    alone: dict[str, Tensor], tmp_path: Path
) -> None:
    done = []

    def stop(units: int) -> None:
        done.append(units)
        if sum(done) == 7:
            raise Killed

    with pytest.raises(Killed):
        train(tmp_path, 4, advance=stop)
    assert same(train(tmp_path, 2), alone)


def test_what_fails_in_one_worker_alone_is_done_by_the_others(
    alone: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(calls: int) -> None:
        if calls == 3:
            raise MemoryError("no room")

    assert same(train(tmp_path, 2, Watched(fail)), alone)
    assert "worker 1 of 1 MemoryError: no room; the others go on" in capsys.readouterr().err


def test_an_error_of_the_data_is_the_error_of_one_process(tmp_path: Path) -> None:
    class Broken(Regression):
        def outputs(self, network: nn.Module, inputs: Tensor) -> Tensor:
            if torch.equal(inputs, self.batch(5)[0][MICRO_BATCHES - 1 :: MICRO_BATCHES]):
                raise InputError("the last part cannot be used.")
            return super().outputs(network, inputs)

    with pytest.raises(InputError, match="last part"):
        train(tmp_path, 4, Broken())


SHOT = """
import os, signal, sys
from pathlib import Path
import torch
from tests.unit.training.test_workers import Watched, train
from facemodels.training.launch import launched

def shoot(calls):
    if (calls, os.environ["RANK"], os.environ["TORCHELASTIC_RESTART_COUNT"]) == (9, "1", "0"):
        os.kill(os.getpid(), signal.SIGKILL)

task = Watched(shoot)
task.first = None
with launched() as process:
    folder = Path(sys.argv[1], os.environ["RANK"])
    process.share_file(folder / "c.pt")
    state = train(folder, 1, task)
    if process.leads:
        torch.save(state, Path(sys.argv[1], "weights.pt"))
"""


@pytest.mark.timeout(300)
def test_torchrun_starts_a_shot_worker_again_and_the_bits_are_those_of_one(
    alone: dict[str, Tensor], tmp_path: Path
) -> None:
    """Two processes, one of them killed in the middle of step 5; checkpoints come every 3."""
    script = tmp_path / "script.py"
    script.write_text(SHOT)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *launcher, "--max-restarts", "1", str(script), str(tmp_path)],
        check=False, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **TORCHRUN},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "failed (exitcode: -9) local_rank: 1" in done.stderr
    assert same(torch.load(tmp_path / "weights.pt", weights_only=True), alone)


def test_processes_of_a_launcher_with_other_work_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three processes with the variables that srun sets; one of them has other data."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    given = {"JOB_ID": 7, "STEP_ID": 0, "STEP_NUM_TASKS": 3, "STEP_NODELIST": "localhost"}
    for name, value in given.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    monkeypatch.setenv("MASTER_PORT", str(port))
    processes = []
    for rank in range(3):
        processes.append(os.fork())
        if processes[-1] == 0:
            os.environ["SLURM_PROCID"] = os.environ["SLURM_LOCALID"] = str(rank)
            try:
                with launched() as process:
                    process.require_same("data" if rank != 2 else "other data")
            except InputError as error:
                (tmp_path / str(rank)).write_text(str(error))
            finally:
                os._exit(0)
    for process in processes:
        os.waitpid(process, 0)
    said = [(tmp_path / str(rank)).read_text() for rank in range(3)]
    assert all("rank 2 have other code, data" in error for error in said)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("n1", "n1"), ("n1,n2", "n1"), ("node[007-012,020],gpu1", "node007"), ("r[1,3]n,x", "r1n")],
)
def test_the_first_host_of_slurms_list_is_where_the_tasks_meet(nodes: str, first: str) -> None:
    assert first_host(nodes) == first


def test_workers_end_when_the_first_process_is_killed() -> None:
    """The pipe that every process of the team holds is closed when the last one has ended."""
    reader, writer = os.pipe()
    leader = os.fork()
    if leader == 0:
        os.close(reader)
        with team(3) as members:
            while True:
                members.share([[], [], []], lambda index: None)
                os.write(writer, b".")
    os.close(writer)
    assert os.read(reader, 1) == b"."
    os.kill(leader, signal.SIGKILL)
    os.waitpid(leader, 0)
    while os.read(reader, 1 << 16):
        pass
    os.close(reader)


@given(st.integers(0, 40), st.sets(st.integers(0, 9), min_size=1))
def test_every_piece_has_one_process(count: int, alive: set[int]) -> None:
    ranks = sorted(alive)
    shared_out = [list(pieces(count, ranks, rank)) for rank in ranks]
    assert [index for part in shared_out for index in part] == list(range(count))
    sizes = [len(part) for part in shared_out]
    assert max(sizes) - min(sizes) <= 1


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=17), st.data())
def test_a_tree_sum_has_the_bits_of_its_tree_however_it_is_cut(
    values: list[float], data: st.DataObject
) -> None:
    """Summed as a whole, or each number by somebody else, or the aligned halves before."""
    terms = [torch.tensor([value, -2 * value, value / 3]) for value in values]
    whole, cut = torch.empty(3), torch.empty(3)
    tree_sum(terms, whole)
    at = data.draw(st.integers(0, 3))
    for part in (slice(0, at), slice(at, 3)):
        tree_sum([term[part] for term in terms], cut[part])
    assert torch.equal(whole, cut)
    assert torch.allclose(whole, torch.stack(terms).double().sum(0).float(), rtol=1e-4, atol=1)
    if len(terms) > 2:
        half = 1 << ((len(terms) - 1).bit_length() - 1)
        left, right = torch.empty(3), torch.empty(3)
        tree_sum(terms[:half], left)
        tree_sum(terms[half:], right)
        assert torch.equal(left + right, whole)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=12), st.integers(1, 5))
def test_a_row_holds_every_tensor_once_and_its_runs_hold_them_all(
    sizes: list[int], count: int
) -> None:
    layout = FlatLayout([torch.zeros(size) for size in sizes])
    row = torch.zeros(layout.size)
    for value, view in enumerate(layout.views(row), start=1):
        assert not view.any()
        view.fill_(value)
    assert int(row.count_nonzero()) == sum(sizes)
    runs = layout.runs(count)
    assert [index for run in runs for index in run] == list(range(len(sizes)))
    assert sum(len(row[layout.span(run)]) for run in runs) == layout.size


def test_ten_runs_killed_and_resized_at_random_give_one_digest(
    alone: dict[str, Tensor], tmp_path: Path
) -> None:
    rng = random.Random(17)
    for run in range(10):  # 200 with the real networks: tests/functional/test_portable.py
        folder = tmp_path / str(run)
        folder.mkdir()
        ends = sorted(rng.sample(range(1, 12), rng.randrange(3)))
        for end in [*ends, None]:
            left = [rng.randrange(1, 60)]

            def shoot(calls: int, left: list[int] = left) -> None:
                if calls == left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)

            done: list[int] = []

            def stop(units: int, end: int | None = end, done: list[int] = done) -> None:
                done.append(units)
                if end is not None and sum(done) >= end:
                    raise Killed

            try:
                state = train(folder, rng.randrange(1, 9), Watched(shoot), stop)
            except Killed:
                continue
        assert same(state, alone), run

"""Real launchers, real processes, real shots: the weights are those of one process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from facemodels.data.sample.generate import recognition_split
from facemodels.files import list_files, sha256

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parents[2]
WORKER = Path(__file__).with_name("shot_worker.py")
LOOPBACK = {"GLOO_SOCKET_IFNAME": "lo", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
MODEL = {
    "task": "recognition", "architecture": "arcface",
    "network": {
        "backbone": "mobilefacenet", "image_size": 48, "embedding_size": 8, "dropout": 0.0,
    },
    "train": {
        "seed": 1, "threads": 1, "device": "cpu", "mixed_precision": False, "micro_batches": 4,
        "steps": 8, "learning_rate": 0.01, "warmup_steps": 1, "final_learning_rate": 0.1,
        "weight_decay": 0.01, "clip_norm": 5.0, "ema_decay": 0.5, "validate_every": 4,
        "checkpoint_every": 3, "patience": 0, "batch_people": 8, "batch_images": 1,
        "loss": "arcface", "losses": {"arcface": {"margin_rad": 0.35, "scale": 30}},
        "augmentation": {
            "flip": 0.5, "shift": 0, "zoom": 0, "brightness": 0, "contrast": 0, "tint": 0,
        },
    },
}  # fmt: skip


class Work:
    """A folder with data, a config and the weights of one process."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.alone = folder, folder / "alone"
        for split in ("train", "val"):
            recognition_split(
                split, seed=1, identities=8, images_per_identity=2, image_size=48,
                folds=2, pairs_per_fold=3, workers=1,
            ).save(folder / "data" / split)  # fmt: skip
        (folder / "data/groups.json").write_text("{}")
        (folder / "model.yaml").write_text(yaml.safe_dump(MODEL))
        self.start("alone", []).wait(120)

    def start(self, output: str, launcher: list[str], **env: str) -> subprocess.Popen[bytes]:
        """Start `facemodels train` by a launcher; the node that it runs on is a folder."""
        node = self.folder / "nodes" / env.pop("node", output)
        (node / "started").mkdir(parents=True, exist_ok=True)
        command = [sys.executable, str(WORKER), "train", *self.arguments(output)]
        clean = {name: value for name, value in os.environ.items() if name != "SHOT"}
        own = {"STARTED": str(node / "started"), "TMPDIR": str(node), **LOOPBACK}
        return subprocess.Popen([*launcher, *command], cwd=node, env={**clean, **own, **env})

    def arguments(self, output: str) -> list[str]:
        """Those of `facemodels train`."""
        config, data = self.folder / "model.yaml", self.folder / "data"
        given = {"config": config, "dataset": data, "output": self.folder / output, "workers": 1}
        return [word for name, value in given.items() for word in (f"--{name}", str(value))]

    def started(self, node: str) -> list[str]:
        started = (self.folder / "nodes" / node / "started").glob("*-of-*")
        return sorted(path.name for path in started)

    def has_the_bytes_of_one_process(self, output: str) -> bool:
        names = list_files(self.alone)
        return names == list_files(self.folder / output) and all(
            sha256(self.alone / name) == sha256(self.folder / output / name) for name in names
        )


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return Work(tmp_path_factory.mktemp("launched"))


def torchrun(nodes: str, port: int, *options: str, hosts: bool = True) -> list[str]:
    """An agent; the one that hosts is where the agents meet."""
    conf = f"is_host={hosts},last_call_timeout=5,keep_alive_interval=1,keep_alive_max_attempt=3"
    return [
        sys.executable, "-m", "torch.distributed.run", "--nnodes", nodes, "--max-restarts", "2",
        "--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}", "--rdzv-id", "test",
        "--local-addr", "127.0.0.1", "--rdzv-conf", conf, *options, "--no-python",
    ]  # fmt: skip


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def test_a_worker_shot_in_mid_step_is_started_again_by_torchrun(work: Work) -> None:
    launcher = torchrun("1", free_port(), "--nproc-per-node", "2")
    assert work.start("shot", launcher, SHOT="5:worker").wait(400) == 0
    assert work.started("shot") == ["0-0-of-2", "0-1-of-2", "1-0-of-2", "1-1-of-2"]
    assert work.has_the_bytes_of_one_process("shot")


def test_two_nodes_without_a_folder_in_common_train_the_same(work: Work) -> None:
    port = free_port()
    agents = [work.start(f"two{node}", torchrun("2", port, hosts=node == 0)) for node in (0, 1)]
    assert [agent.wait(400) for agent in agents] == [0, 0]
    wrote = [node for node in (0, 1) if (work.folder / f"two{node}").exists()]
    assert len(wrote) == 1
    assert work.has_the_bytes_of_one_process(f"two{wrote[0]}")


@pytest.mark.parametrize("target", ["worker", "agent", "node"])
def test_what_is_left_of_two_nodes_ends_in_the_same_bytes(target: str, work: Work) -> None:
    """Each has its own checkpoints; the one that is shot does not host the rendezvous."""
    port = free_port()
    stays = work.start(target, torchrun("1:2", port), node=f"{target}-stays")
    goes = work.start(target, torchrun("1:2", port, hosts=False), SHOT=f"5:{target}")
    assert stays.wait(400) == 0
    assert goes.wait(400) == (0 if target == "worker" else -9)
    assert {"0-0-of-2", "0-1-of-2"} == {
        name
        for node in (target, f"{target}-stays")
        for name in work.started(node)
        if name[0] == "0"
    }
    assert work.has_the_bytes_of_one_process(target)


def test_tasks_that_srun_started_find_each_other(work: Work) -> None:
    port = str(free_port())
    tasks = [
        work.start(
            "slurm", [], node=f"slurm{rank}", MASTER_PORT=port,
            SLURM_JOB_ID="1", SLURM_STEP_ID="0", SLURM_STEP_NODELIST="localhost",
            SLURM_STEP_NUM_TASKS="2", SLURM_PROCID=str(rank), SLURM_LOCALID=str(rank),
        )
        for rank in (0, 1)
    ]  # fmt: skip
    assert [task.wait(400) for task in tasks] == [0, 0]
    assert work.has_the_bytes_of_one_process("slurm")


def test_a_node_of_ray_shot_in_mid_step_is_replaced_by_another(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The script of the docs on a cluster of three raylets, of which two have work."""
    pytest.importorskip("ray", reason="the extra facemodels[ray] is not installed")
    from ray.cluster_utils import Cluster

    node = work.folder / "nodes" / "ray"
    (node / "started").mkdir(parents=True)
    docs = (ROOT / "docs/many-machines.md").read_text(encoding="utf-8")
    script = docs.split("```python\n")[1].split("```")[0]
    (node / "script.py").write_text(script.replace("facemodels.cli.main", "shot_worker"))
    given = {
        **LOOPBACK, "STARTED": str(node / "started"), "SHOT": "5:node",
        "PYTHONPATH": str(WORKER.parent), "RAY_USAGE_STATS_ENABLED": "0",
    }  # fmt: skip
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    try:
        for _ in range(3):
            cluster.add_node(num_cpus=1)
        command = [sys.executable, "script.py", "2", "train", *work.arguments("ray")]
        done = subprocess.run(
            command, cwd=node, env={**os.environ, "RAY_ADDRESS": cluster.address}, check=False
        )
        assert done.returncode == 0
        assert (node / "started/shot").exists()
        assert work.has_the_bytes_of_one_process("ray")
    finally:
        cluster.shutdown()

"""A repository with real packages of a few kilobytes, and its environments as real processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import httpx
import numpy as np
import onnx
import psutil
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from facemodels.cli.main import main
from facemodels.files import write_json, write_yaml
from facemodels.git import Git
from facemodels.names import ModelId
from facemodels.package.load import open_package
from facemodels.package.verify import write_checksums
from facemodels.registry import audit, reading, rules
from facemodels.registry.policy import load as load_policy
from facemodels.registry.proposals import ProposedEvent
from facemodels.registry.state import State, Status
from facemodels.registry.tag_store import TagStore

COMMAND = str(Path(sys.executable).with_name("facemodels"))
ROOT = Path(__file__).resolve().parents[3]
SIDE, SIZE = 8, 16  # of an input image, of an embedding
DEADLINE = 60.0
Behaviour = Literal["good", "failing", "slow", "broken"]
Plan = Callable[[State], ProposedEvent]
# Commands that tests run in their own process: each takes half a second to start. `begin` and
# tests of signals start them as a user does.
_HERE = ("deploy", "registry", "rollback", "status", "storage")


def wait_until(
    true: Callable[[], Any], what: str, seconds: float = DEADLINE, *, pause_s: float = 0.02
) -> Any:
    """The first true value of a condition that is looked at again and again."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(pause_s)
    return found


# --- packages ----------------------------------------------------------------------------


def write_graph(path: Path, behaviour: Behaviour, seed: int) -> None:
    """An embedder: a random projection. One that fails does so where the first pixel is above
    0; a slow one does six billion operations for each row first, so that a batch of rows takes
    as long as they do one by one.
    """
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(3 * SIDE * SIDE, SIZE)).astype(np.float32)
    constants = [numpy_helper.from_array(weights, "weights")]
    nodes = [
        helper.make_node("Flatten", ["images"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "weights"], ["plain"]),
    ]
    last = "plain"
    if behaviour == "failing":
        constants += [
            numpy_helper.from_array(np.zeros((1,), np.float32), "zero"),
            numpy_helper.from_array(np.array([0], np.int64), "first"),
        ]
        nodes += [
            helper.make_node("Gather", ["flat", "first"], ["pixel"], axis=1),
            helper.make_node("Greater", ["pixel", "zero"], ["above"]),
            helper.make_node("Cast", ["above"], ["index"], to=TensorProto.INT64),
            helper.make_node("Gather", ["zero", "index"], ["nothing"]),  # index 1 is beyond
            helper.make_node("Add", ["plain", "nothing"], ["checked"]),
        ]
        last = "checked"
    if behaviour == "slow":
        tall, flat = np.array([-1, 1], np.int64), np.array([-1, SIZE], np.int64)
        wide, large = np.full((1, 4096), 1e-9, np.float32), np.full((4096, 4096), 1e-9, np.float32)
        constants += [
            numpy_helper.from_array(value, name)
            for name, value in (
                ("tall", tall), ("flat_again", flat), ("wide", wide), ("large", large),
                ("narrow", wide.T.copy()),
            )
        ]  # fmt: skip
        nodes.append(helper.make_node("Reshape", ["plain", "tall"], ["column"]))
        nodes.append(helper.make_node("MatMul", ["column", "wide"], ["w0"]))
        for number in range(12):
            nodes.append(helper.make_node("MatMul", [f"w{number}", "large"], [f"w{number + 1}"]))
        nodes += [
            helper.make_node("MatMul", ["w12", "narrow"], ["one"]),
            helper.make_node("Reshape", ["one", "flat_again"], ["little"]),
            helper.make_node("Add", ["plain", "little"], ["late"]),
        ]
        last = "late"
    nodes.append(helper.make_node("Identity", [last], ["embeddings"]))
    graph = helper.make_graph(
        nodes,
        "embedder",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["n", SIZE])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(path))


def write_package(
    folder: Path, identity: ModelId, behaviour: Behaviour = "good", space: str = "one"
) -> None:
    """A whole package; its weights are a note, as the served form needs none."""
    folder.mkdir(parents=True)
    (folder / "model.pt").write_bytes(str(identity).encode())
    (folder / "README.md").write_text("Small.\n")
    (folder / "requirements.txt").write_text("onnxruntime\n")
    if behaviour == "broken":  # whole by its checksums, and no server can load it
        (folder / "model.onnx").write_bytes(b"no graph")
    else:
        write_graph(folder / "model.onnx", behaviour, seed=1)
    architecture = identity.name.architecture
    write_yaml(
        folder / "config.yaml",
        {
            "name": str(identity.name), "task": identity.name.task, "architecture": architecture,
            "network": {}, "weights": "model.pt", "runtimes": ["onnx"], "threshold": 0.5,
            "preprocessing": {"size": [SIDE, SIDE]},
        },
    )  # fmt: skip
    write_json(
        folder / "metadata.json",
        {
            "name": str(identity.name), "version": str(identity.version),
            "variant": identity.variant, "created_at": "2026-01-02T03:04:05Z",
            "architecture": architecture, "input_shape": [SIDE, SIDE, 3], "output_shape": [SIZE],
            "accuracy_metrics": {"accuracy": 0.9}, "embedding_space": space,
            "parent_version": "", "changelog": "Made for a test.", "threshold": 0.5,
        },
    )  # fmt: skip
    write_checksums(folder)


def tensor(*, failing: bool = False) -> tuple[bytes, dict[str, str]]:
    """A request's body and headers: one image as a binary tensor."""
    image = np.full((1, 3, SIDE, SIDE), 0.5 if failing else -0.5, np.float32)
    described = {
        "name": "images", "datatype": "FP32", "shape": list(image.shape),
        "parameters": {"binary_data_size": image.nbytes},
    }  # fmt: skip
    head = json.dumps({"inputs": [described]}).encode()
    return head + image.tobytes(), {"inference-header-content-length": str(len(head))}


# --- the repository ----------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(("git", *words), cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _an_hour_ago() -> float:
    """Each event is a second later than the one before, and many are made in one."""
    return time.time() - 3600


def moved(model: ModelId, status: Status) -> Plan:
    return lambda now: rules.move(now, model, status, reason="test")


@dataclass
class EnvironmentSite:
    """A clone with packages, and perhaps a bare remote beside it.

    Attributes:
        folder: of the clone.
        environments: settings that differ from the defaults, by environment.
        before: words before each command, which then is a process of its own.
    """

    folder: Path
    environments: dict[str, dict[str, Any]] = field(default_factory=dict)
    before: Sequence[str] = ()

    @classmethod
    def make(cls, folder: Path, *, remote: bool = True) -> EnvironmentSite:
        root = folder / "clone"
        if remote:
            git(folder, "init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
            git(folder, "clone", "--quiet", str(folder / "origin.git"), str(root))
        else:
            git(folder, "init", "--quiet", "--initial-branch=main", str(root))
        site = cls(root)
        for number, name in enumerate(("production", "staging")):
            site.configure(
                name,
                address={"port": free_port()},
                control={"port": free_port()},
                drain_s=0.2,
                backoff_s=0.1,
                backoff_max_s=1.0,
                fetch_interval_s=0.3 + number,
                probes={"interval_s": 0},
                version_choice={"addresses": ["127.0.0.1"]},
            )
        write_yaml(root / "conf/rollback_triggers.yaml", {"rollback_triggers": {}})
        write_yaml(root / "conf/serving.yaml", {})
        write_yaml(root / "conf/registry.yaml", {"remote": "origin" if remote else ""})
        (root / ".gitignore").write_text("/.facemodels/\n/models/\n")
        git(root, "add", "-A")
        git(root, "commit", "--quiet", "-m", "Begin")
        if remote:
            git(root, "push", "--quiet", "origin", "main")
        return site

    def configure(self, environment: str, **settings: Any) -> None:
        """Change an environment's settings, as an editor would."""
        known = self.environments.setdefault(environment, {})
        known.update(settings)
        path = self.folder / "conf/deploy" / f"{environment}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_yaml(path, known)

    @property
    def repository(self) -> TagStore:
        return TagStore(Git(self.folder), load_policy(self.folder), clock=_an_hour_ago)

    def state(self) -> State:
        return self.repository.state()

    def wait_event(self, act: str) -> None:
        """Wait until the last event is of this kind; each look takes four processes of Git."""
        wait_until(lambda: self.state().events[-1].act == act, f"the event {act}", pause_s=0.2)

    def findings(self) -> list[audit.AuditFinding]:
        plain = Git(self.folder)
        return audit.audit(reading.read_events(plain), reading.read_head(plain))

    def add(self, *plans: Plan) -> None:
        """Add events as a clone without a remote does, and push them together.

        One by one, each would be fetched for and pushed: with three a version, half of the time
        that a test needs to begin.
        """
        policy = load_policy(self.folder)
        here = TagStore(Git(self.folder), replace(policy, remote=""), clock=_an_hour_ago)
        for plan in plans:
            here.add(plan)
        if policy.remote:
            refs = ("refs/tags/*:refs/tags/*", "+refs/facemodels/head:refs/facemodels/head")
            git(self.folder, "push", "--quiet", "--atomic", policy.remote, *refs)

    def register(
        self, identity: str, behaviour: Behaviour = "good", *, space: str = "one"
    ) -> ModelId:
        """Make a version's package and register it as one that has passed all gates."""
        model, plan = self._made(identity, behaviour, space)
        self.add(plan)
        return model

    def _made(self, identity: str, behaviour: Behaviour, space: str) -> tuple[ModelId, Plan]:
        """A version's package, and how it is registered."""
        model = ModelId.parse(identity)
        write_package(self.folder / str(model.folder), model, behaviour, space)
        return model, self._registration(model, {"interface": {"embedding_space": space}})

    def _registration(self, model: ModelId, facts: Mapping[str, Any]) -> Plan:
        git(self.folder, "commit", "--quiet", "--allow-empty", "-m", f"Make {model}")
        commit = git(self.folder, "rev-parse", "HEAD")
        digest = open_package(self.folder / str(model.folder)).digest
        evidence = {"package": f"sha256:{digest}", "suite": ["benchmark"]}
        entry = {"path": str(model.folder), **facts}
        return partial(
            rules.register, model=model, commit=commit, reason="new", evidence=evidence, entry=entry
        )

    def enter(self, model: ModelId, facts: Mapping[str, Any]) -> None:
        """Register a version whose package is there, as one that has passed all gates."""
        self.add(self._registration(model, facts))

    def staged(
        self, identity: str, behaviour: Behaviour = "good", *, space: str = "one"
    ) -> ModelId:
        """Register a version and put it into staging."""
        model, plan = self._made(identity, behaviour, space)
        self.add(plan, moved(model, "staging"))
        return model

    def in_production(self, identity: str, behaviour: Behaviour = "good") -> ModelId:
        """Register a version and bring it to production."""
        model, plan = self._made(identity, behaviour, "one")
        self.add(plan, moved(model, "staging"), moved(model, "production"))
        return model

    # --- commands ------------------------------------------------------------------------

    def run(self, *words: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """A command of ours, in the clone; any exit code is right where `code` is None."""
        here = words[0] in _HERE and "LD_PRELOAD" not in os.environ and not self.before
        done = self._run_here(words) if here else self._run_apart(words)
        assert code is None or done.returncode == code, (words, done.stdout, done.stderr)
        return done

    def _run_apart(self, words: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            (*self.before, COMMAND, *words), cwd=self.folder, check=False, capture_output=True, text=True,
            timeout=120,
        )  # fmt: skip

    def _run_here(self, words: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        with contextlib.chdir(self.folder):
            done = CliRunner().invoke(main, words)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """A command of ours that is not waited for."""
        return subprocess.Popen(
            (COMMAND, *words), cwd=self.folder, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def deploy(self, identity: str, *words: str, environment: str = "production") -> None:
        self.run("deploy", "--model-id", identity, "--environment", environment, *words)

    def up(self, environment: str = "production") -> Environment:
        """Start an environment's controller."""
        found = Environment(self, environment)
        found.start()
        return found


class Environment:
    """A controller's process and what it runs."""

    def __init__(self, site: EnvironmentSite, name: str) -> None:
        self.site = site
        self.name = name
        self.folder = site.folder / ".facemodels" / name
        self.process: subprocess.Popen[bytes] | None = None
        self.before = site.before  # words before the controller's command
        port = site.environments[name]["address"]["port"]
        self.url = f"http://127.0.0.1:{port}"

    def start(self) -> None:
        """Start the controller, as an operator does."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "controller.log").open("ab") as log:
            self.process = subprocess.Popen(
                (*self.before, COMMAND, "up", "--environment", self.name),
                cwd=self.site.folder, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def kill(self) -> None:
        """SIGKILL the controller; what it started goes on."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """Leave nothing behind, however it is."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
        for process in self.processes():
            with suppress(psutil.Error):
                process.kill()

    def log(self) -> str:
        return (self.folder / "controller.log").read_text(errors="replace")[-6000:]

    def status(self) -> dict[str, Any]:
        """What the controller says last; nothing as long as it has not said anything."""
        try:
            found: dict[str, Any] = json.loads((self.folder / "status.json").read_bytes())
        except (OSError, ValueError):
            return {"models": [], "servers": [], "alarms": {}, "router": {"applied": False}}
        return found

    def shares(self, model: str = "recognition-facenet") -> dict[str, int]:
        """Who gets which share, as the controller says, once the router goes by it."""
        status = self.status()
        if not status["router"]["applied"]:
            return {}
        return next((one["serving"] for one in status["models"] if one["model"] == model), {})

    def wait_for(self, model: str = "recognition-facenet", **shares: int) -> None:
        """Wait until versions have these shares; keys like `v1_0_0`."""
        short = str(ModelId.parse(f"{model}@v0.0.0")).removesuffix("-v0.0.0")
        wanted = {f"{short}-{key.replace('_', '.')}": share for key, share in shares.items()}
        try:
            wait_until(lambda: self.shares(model) == wanted, f"{wanted}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.status()}\n{self.log()}") from None

    def server(self, identity: str) -> dict[str, Any]:
        """What the controller says of a version's first server; nothing if it knows none."""
        return next((o for o in self.status()["servers"] if o["model_id"] == identity), {})

    def _is_ready(self, identity: str, besides: int) -> bool:
        one = self.server(identity)
        return bool(one.get("ready")) and one["pid"] != besides

    def wait_ready(self, *identities: str, besides: int = 0) -> None:
        """Wait until versions have a server that is ready; `besides` is the pid of one that died."""
        try:
            for identity in identities:
                wait_until(
                    partial(self._is_ready, identity, besides),
                    f"{identity} is ready",
                )
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.status()}\n{self.log()}") from None

    def alarms(self) -> str:
        """All of them, as one text."""
        return "\n".join(f"{name}: {text}" for name, text in self.status()["alarms"].items())

    def processes(self) -> list[psutil.Process]:
        """Every process that has anything to do with the clone, the controller included."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                place = str(self.site.folder)
                words = " ".join(
                    (*process.cmdline(), process.environ().get("FACEMODELS_PROCESS", ""))
                )
                if process.status() != psutil.STATUS_ZOMBIE and (
                    place in words or (process.cwd().startswith(place) and "facemodels" in words)
                ):
                    found.append(process)
        return found

    def server_pid(self, identity: str) -> int:
        """The process of a version's first server."""
        return int(json.loads((self.folder / f"servers/{identity}-0.json").read_bytes())["pid"])

    def router_pid(self) -> int:
        """Of Traefik; 0 while there is none."""
        try:
            return int(json.loads((self.folder / "router/traefik.json").read_bytes())["pid"])
        except FileNotFoundError:
            return 0

    def ask(
        self,
        *,
        failing: bool = False,
        client: httpx.Client | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """One prediction through the router."""
        body, own = tensor(failing=failing)
        post = client.post if client is not None else httpx.post
        return post(
            f"{self.url}/v2/models/recognition-facenet/infer",
            content=body, headers={**own, **(headers or {})}, timeout=30,
        )  # fmt: skip

    def answers(self) -> bool:
        """Whether a prediction finds an answer now."""
        try:
            return self.ask().is_success
        except httpx.HTTPError:
            return False

    def version(self, **headers: str) -> str:
        """The version that answers now."""
        answer = self.ask(headers=headers)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["model_version"])

    def versions(self, **headers: str) -> set[str]:
        """The versions that answer some new connections, so each of the two routers is met."""
        return {self.version(**headers) for _ in range(16)}


class Load:
    """Requests from a few clients at a steady pace, for as long as the block runs.

    Args:
        environment: that is asked.
        failing_share: of the requests that a failing version fails on.
        clients: at once.
        pause_s: of each client between two requests.
        repeats: of a request whose connection broke before its answer, as good clients do.
    """

    def __init__(
        self, environment: Environment, *, failing_share: float = 0.0, clients: int = 4,
        pause_s: float = 0.05, repeats: int = 0,
    ) -> None:  # fmt: skip
        self._environment = environment
        self._failing_share = failing_share
        self.clients = clients
        self._pause_s = pause_s
        self._repeats = repeats
        self.repeated = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]
        self.answers: list[tuple[float, int, str]] = []  # time, status, version
        self.problems: list[str] = []

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        number = 0.0
        with httpx.Client(timeout=30) as client:
            while not self._stop.wait(self._pause_s):
                number += self._failing_share
                failing = number >= 1
                number -= failing
                answer = self._answer(client, failing=failing)
                if answer is None:
                    continue
                version = answer.json().get("model_version", "") if answer.is_success else ""
                if not answer.is_success:
                    self.problems.append(f"{answer.status_code} {answer.text[:200]}")
                self.answers.append((time.time(), answer.status_code, version))

    def _answer(self, client: httpx.Client, *, failing: bool) -> httpx.Response | None:
        """The answer to one request; None, and a problem, if there is none."""
        left = self._repeats
        while True:
            try:
                return self._environment.ask(failing=failing, client=client)
            except httpx.HTTPError as error:
                if not left or not isinstance(error, httpx.TransportError):
                    self.problems.append(repr(error))
                    return None
                left, self.repeated = left - 1, self.repeated + 1
                time.sleep(0.05)  # the kernel needs some milliseconds to end a killed process

    def longest_gap_s(self) -> float:
        """Between two good answers, of whichever client."""
        times = sorted(at for at, status, _ in self.answers if status == 200)
        return max((after - before for before, after in pairwise(times)), default=0.0)

    @property
    def failed(self) -> int:
        """Requests without a good answer."""
        return len(self.problems)

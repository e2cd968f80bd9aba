"""This server, MLServer and LitServe around one graph, against a loop without HTTP.

python -m benchmarks.serving [--quick] [--mlserver PYTHON] [--litserve PYTHON]

The peers' pins differ from ours, so each has an environment of its own; one whose Python is not
given is left out, and the output says so:

for peer in mlserver litserve; do
    python -m venv build/$peer && build/$peer/bin/pip install -r benchmarks/peers/$peer.txt
done
python -m benchmarks.serving --mlserver build/mlserver/bin/python \
    --litserve build/litserve/bin/python

Every contestant has the same graph, session options and threads, and gets the same float32
tensor: as binary (`/v2`'s extension) where it can, as numbers in JSON, or as base64 in JSON.
Neither peer takes binary tensors over HTTP. They take part without and with their batching;
"best peer" is the best of all of these in the row. A closed loop: each connection sends its next
request when it has its answer. All take turns in every round; who does not have a turn is stopped
(SIGSTOP), since some poll while idle. Rates are medians over rounds, percentiles are of all
rounds' answers, ratios are medians of the rounds' ratios. CPU is that of the server's processes,
which other work on the machine disturbs less than it does the clock.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import psutil
from numpy.typing import NDArray
from PIL import Image

from benchmarks.bare import example
from benchmarks.load import Request, ask, measure
from facemodels.package.load import Package, open_package
from facemodels.package.verify import ONNX
from facemodels.text import markdown

ROOT = Path(__file__).resolve().parents[1]
FACENET = ROOT / "models/recognition/facenet-v1.0.0"
CONNECTIONS = (1, 8, 64)
BATCH = 16
OURS = "facemodels"
JSON = (("content-type", "application/json"),)
Tensor = NDArray[np.float32]


class Process:
    """A process with its children, in a group of its own."""

    def __init__(self, command: Sequence[str], **options: Any) -> None:
        self.popen = subprocess.Popen(
            command, start_new_session=True, cwd=ROOT, text=True,
            stderr=subprocess.DEVNULL, **{"stdout": subprocess.DEVNULL, **options},
        )  # fmt: skip

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the whole group, if there is one left."""
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, number)

    def cpu_seconds(self) -> float:
        """Of all its processes that are alive."""
        root = psutil.Process(self.popen.pid)
        times = [one.cpu_times() for one in (root, *root.children(recursive=True))]
        return float(sum(one.user + one.system for one in times))

    def end(self) -> None:
        """End it and its children: LitServe's outlive a plain SIGTERM."""
        self.signal(signal.SIGKILL)
        self.popen.wait()


@dataclass(frozen=True)
class Turn:
    """What one turn of one contestant showed.

    Attributes:
        per_second: answers.
        latencies_s: of each.
        cpu_ms: of the server, each.
    """

    per_second: float
    latencies_s: list[float]
    cpu_ms: float


Rounds = dict[tuple[str, int], list[Turn]]


@dataclass
class Contestant:
    """Somebody who answers one request.

    Attributes:
        name: in the tables.
        process: of the server.
        port: where it listens.
        request: what it is asked.
        read: the tensor of an answer.
    """

    name: str
    process: Process
    port: int
    request: Request
    read: Callable[[bytes], Tensor]

    def turn(self, connections: int, seconds: float) -> Turn:
        """Measure it while all others stand still."""
        self.process.signal(signal.SIGCONT)
        before = self.process.cpu_seconds()
        try:
            found = measure(self.port, self.request, connections=connections, seconds=seconds)
            cpu_s = self.process.cpu_seconds() - before
        finally:
            self.process.signal(signal.SIGSTOP)
        return Turn(found.per_second, found.latencies_s, cpu_s / found.answers * 1e3)


@dataclass
class Arena:
    """All contestants around one package.

    Attributes:
        package: whose graph it is.
        loop: the process without HTTP.
        contestants: the servers.
        threads: of every graph.
    """

    package: Package
    loop: Process
    threads: int
    contestants: list[Contestant] = field(default_factory=list)

    def bare(self, **job: Any) -> dict[str, Any]:
        """Let the loop without HTTP do something."""
        stdin, stdout = self.loop.popen.stdin, self.loop.popen.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(job) + "\n")
        stdin.flush()
        answer: dict[str, Any] = json.loads(stdout.readline())
        return answer


_given: set[int] = set()


def free_port() -> int:
    """A port that nobody has, nor the one above it, which MLServer's gRPC takes."""
    while True:
        with socket.socket() as probe, socket.socket() as above:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
            with suppress(OSError, OverflowError):
                above.bind(("127.0.0.1", port + 1))
                if not _given & {port, port + 1}:
                    _given.update((port, port + 1))
                    return port


def wait_until_ready(contestant: Contestant, expected: Tensor) -> None:
    """Ask until it answers, and check what it answers.

    Raises:
        SystemExit: it does not start, or gives another output than the bare loop.
    """
    end = time.monotonic() + 90
    while True:
        try:
            answer = contestant.read(ask(contestant.port, contestant.request))
            break
        except (OSError, RuntimeError) as error:
            if time.monotonic() > end or contestant.process.popen.poll() is not None:
                raise SystemExit(f"{contestant.name} does not start: {error}") from error
            time.sleep(0.2)
    if not np.allclose(answer.reshape(-1), expected.reshape(-1), atol=1e-4):
        raise SystemExit(f"{contestant.name} gives another answer than the bare loop")


def infer_request(model: str, name: str, tensor: Tensor, *, binary: bool) -> Request:
    """A request of the Open Inference Protocol, with the tensor as bytes or as numbers."""
    described: dict[str, Any] = {"name": name, "datatype": "FP32", "shape": list(tensor.shape)}
    path = f"/v2/models/{model}/infer"
    if not binary:
        described["data"] = tensor.reshape(-1)
        body = orjson.dumps({"inputs": [described]}, option=orjson.OPT_SERIALIZE_NUMPY)
        return Request(path, body, JSON)
    described["parameters"] = {"binary_data_size": tensor.nbytes}
    head = orjson.dumps({"inputs": [described], "parameters": {"binary_data_output": True}})
    length = ("inference-header-content-length", str(len(head)))
    return Request(path, head + tensor.tobytes(), (length,))


def from_binary(body: bytes) -> Tensor:
    """The tensor behind the JSON of a binary answer."""
    end = body.index(b"]}", body.index(b"binary_data_size")) + 2
    return np.frombuffer(body[end:], np.float32)


def from_numbers(body: bytes) -> Tensor:
    """The tensor of a JSON answer."""
    return np.array(orjson.loads(body)["outputs"][0]["data"], np.float32)


def from_base64(body: bytes) -> Tensor:
    """The tensor of an answer in base64, of MLServer or LitServe."""
    answer = orjson.loads(body)
    text = answer["tensor"] if "tensor" in answer else answer["outputs"][0]["data"][0]
    return np.frombuffer(base64.b64decode(text), np.float32)


def ours(arena: Arena, stack: ExitStack, tensor: Tensor, scratch: Path) -> None:
    """Add this server, asked in binary and in JSON."""
    port = free_port()
    config = scratch / "serving.yaml"
    config.write_text("{}\n")
    command = [str(Path(sys.executable).with_name("facemodels")), "serve"]
    process = Process(
        [*command, str(arena.package.folder), "--port", str(port),
         "--threads", str(arena.threads), "--config", str(config)]
    )  # fmt: skip
    stack.callback(process.end)
    model = str(arena.package.id.name)
    for label, binary in ((f"{OURS}, binary", True), (f"{OURS}, JSON", False)):
        request = infer_request(model, "images", tensor, binary=binary)
        read = from_binary if binary else from_numbers
        arena.contestants.append(Contestant(label, process, port, request, read))


def peer(
    arena: Arena, stack: ExitStack, python: str, script: str, rows: int, *extra: str
) -> tuple[Process, int]:
    """Start a peer's server."""
    port = free_port()
    graph = str(arena.package.folder / ONNX)
    path = str(Path(__file__).parent / "peers" / script)
    process = Process([python, path, graph, str(port), str(arena.threads), str(rows), *extra])
    stack.callback(process.end)
    return process, port


def mlserver(arena: Arena, stack: ExitStack, tensor: Tensor, python: str) -> None:
    """Add MLServer: numbers in JSON, base64, and base64 with adaptive batching."""
    numbers = infer_request("model", "images", tensor, binary=False)
    text = base64.b64encode(tensor.tobytes()).decode()
    packed = {
        "name": "images", "datatype": "BYTES", "shape": [1, 1], "data": [text],
        "parameters": {"content_type": "base64"},
    }  # fmt: skip
    encoded = Request(numbers.path, orjson.dumps({"inputs": [packed]}), JSON)
    process, port = peer(arena, stack, python, "mlserver_server.py", 1)
    batching, other = peer(arena, stack, python, "mlserver_server.py", BATCH)
    arena.contestants += [
        Contestant("MLServer, JSON", process, port, numbers, from_numbers),
        Contestant("MLServer, base64", process, port, encoded, from_base64),
        Contestant("MLServer, base64, batching", batching, other, encoded, from_base64),
    ]


def litserve(arena: Arena, stack: ExitStack, tensor: Tensor, python: str) -> None:
    """Add LitServe: base64, and base64 with batching."""
    text = base64.b64encode(tensor.tobytes()).decode()
    request = Request("/predict", orjson.dumps({"tensor": text}), JSON)
    for label, rows in (("LitServe, base64", 1), ("LitServe, base64, batching", BATCH)):
        process, port = peer(arena, stack, python, "litserve_server.py", rows)
        arena.contestants.append(Contestant(label, process, port, request, from_base64))


@contextmanager
def arena_of(folder: Path, options: argparse.Namespace) -> Iterator[Arena]:
    """Start all contestants, check their answers, and end them."""
    package = open_package(folder)
    command = [sys.executable, "-m", "benchmarks.bare", str(folder), str(options.threads)]
    with ExitStack() as stack, tempfile.TemporaryDirectory() as scratch:
        loop = Process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        stack.callback(loop.end)
        arena = Arena(package, loop, options.threads)
        expected = np.array(arena.bare(do="output")["output"], np.float32)
        tensor = example(tuple([3] + [package.config["network"]["image_size"]] * 2), 1)
        ours(arena, stack, tensor, Path(scratch))
        if options.mlserver:
            mlserver(arena, stack, tensor, options.mlserver)
        if options.litserve:
            litserve(arena, stack, tensor, options.litserve)
        for contestant in arena.contestants:
            contestant.process.signal(signal.SIGCONT)
            wait_until_ready(contestant, expected)
            contestant.process.signal(signal.SIGSTOP)
        yield arena


def compete(arena: Arena, rounds: int, seconds: float) -> Rounds:
    """Everyone's measurements: one each round and number of connections."""
    results: Rounds = {}
    for number in range(rounds):
        for connections in CONNECTIONS:
            for rows in (1, BATCH):
                answer = arena.bare(do="loop", rows=rows, seconds=seconds)
                results.setdefault((bare_name(rows), connections), []).append(Turn(**answer))
            order = arena.contestants[:: 1 if number % 2 else -1]
            for one in order:
                turn = one.turn(connections, seconds)
                results.setdefault((one.name, connections), []).append(turn)
    return results


def bare_name(rows: int) -> str:
    """Of the loop without HTTP."""
    return f"bare loop, {rows} row{'s' if rows > 1 else ''} a run"


def percentile(turns: Sequence[Turn], q: int) -> float:
    """Milliseconds, of all rounds' answers."""
    return float(np.percentile(np.concatenate([turn.latencies_s for turn in turns]), q)) * 1e3


def rates(turns: Sequence[Turn]) -> NDArray[np.float64]:
    """Answers a second, of each round."""
    return np.array([turn.per_second for turn in turns])


def table(results: Rounds, connections: int) -> str:
    """Everyone at one number of connections."""
    limit = rates(results[bare_name(1), connections])
    own = rates(results[f"{OURS}, binary", connections])
    rows = []
    for (name, at), turns in results.items():
        if at != connections:
            continue
        p50, p95, p99 = (percentile(turns, q) for q in (50, 95, 99))
        rows.append(
            {
                f"{connections} connection{'s' if connections > 1 else ''}": name,
                "req/s": float(np.median(rates(turns))),
                "p50 ms": p50, "p95 ms": p95, "p99 ms": p99,
                "CPU ms": float(np.median([turn.cpu_ms for turn in turns])),
                "of bare": float(np.median(rates(turns) / limit)),
                "ours / it": float(np.median(own / rates(turns))),
            }
        )  # fmt: skip
    return markdown(rows)


def goals(results: Rounds, *, light: bool) -> list[dict[str, object]]:
    """What issue 4 asks for, and whether it is so."""
    found: list[dict[str, object]] = []
    peers = {name for name, _ in results if name.startswith(("MLServer", "LitServe"))}

    def add(goal: str, value: float, good: bool) -> None:
        found.append({"goal": goal, "value": value, "met": good})

    for connections in CONNECTIONS:
        own = results[f"{OURS}, binary", connections]
        if not light:
            value = float(np.median(rates(own) / rates(results[bare_name(1), connections])))
            add(f"{connections}: at least 0.85 of the bare loop", value, value >= 0.85)
        if not peers:
            continue
        # By its median: the best of each round would be the luckiest of five.
        best = max(peers, key=lambda name: float(np.median(rates(results[name, connections]))))
        value = float(np.median(rates(own) / rates(results[best, connections])))
        wanted = 1.5 if light else 1.0
        add(f"{connections}: at least {wanted} x the best peer ({best})", value, value >= wanted)
        if connections == 8:
            value = percentile(own, 99) / min(percentile(results[name, 8], 99) for name in peers)
            add("8: p99 at most 1 x the best peer's", value, value <= 1)
    return found


def jpeg(side: int) -> bytes:
    """A picture with structure, as a camera's crop of a face is."""
    ramp = np.linspace(0, 255, side, dtype=np.float32)
    noise = np.random.default_rng(0).normal(0, 12, (side, side, 3))
    picture = np.clip(ramp[:, None, None] * 0.5 + ramp[None, :, None] * 0.5 + noise, 0, 255)
    stream = io.BytesIO()
    Image.fromarray(picture.astype(np.uint8)).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def embedding_table(arena: Arena, seconds: float, scratch: Path) -> str:
    """Where the time of embedding a JPEG goes: 10th percentiles, one connection."""
    server = arena.contestants[0]
    rows: list[dict[str, object]] = []
    for side in (160, 640):
        path = scratch / f"{side}.jpg"
        path.write_bytes(jpeg(side))
        request = Request("/api/embed", path.read_bytes(), (("content-type", "image/jpeg"),))
        one = Contestant("", server.process, server.port, request, server.read)
        parts: dict[str, list[float]] = {}
        whole: list[float] = []
        for _ in range(5):
            for name, taken in arena.bare(do="parts", jpeg=str(path), seconds=seconds / 4).items():
                parts.setdefault(name, []).extend(taken)
            whole += one.turn(1, seconds).latencies_s
        quick = {name: float(np.percentile(taken, 10)) * 1e3 for name, taken in parts.items()}
        total = float(np.percentile(whole, 10)) * 1e3
        rest = total - sum(quick.values())
        size = f"{side} px, {path.stat().st_size / 1e3:.0f} kB"
        rows.append({"JPEG": size, **quick, "HTTP and threads": rest, "over HTTP": total})
    return markdown(rows)


def ceiling(body: int, seconds: float) -> str:
    """What the client can do against the cheapest server."""
    request = Request("/", bytes(body))
    port = free_port()
    size = str(len(request.encoded()))
    process = Process([sys.executable, "-m", "benchmarks.load", str(port), size])
    rows = []
    try:
        end = time.monotonic() + 20
        while True:
            try:
                ask(port, request)
                break
            except OSError:
                assert time.monotonic() < end
                time.sleep(0.1)
        for connections in CONNECTIONS:
            found = measure(port, request, connections=connections, seconds=seconds)
            p50 = float(np.median(found.latencies_s)) * 1e3
            rows.append({"connections": connections, "req/s": found.per_second, "p50 ms": p50})
    finally:
        process.end()
    return markdown(rows)


def report(title: str, folder: Path, options: argparse.Namespace) -> None:
    """Measure one package and print its tables."""
    light = folder != FACENET
    with arena_of(folder, options) as arena, tempfile.TemporaryDirectory() as scratch:
        before = os.getloadavg()[0]
        results = compete(arena, options.rounds, options.seconds)
        print(f"## {title}\n\nLoad average {before:.1f} before, {os.getloadavg()[0]:.1f} after.\n")
        for connections in CONNECTIONS:
            print(table(results, connections))
        print(markdown(goals(results, light=light)))
        if not light:
            print("Milliseconds of embedding a JPEG, one connection, 10th percentiles:\n")
            print(embedding_table(arena, options.seconds, Path(scratch)), flush=True)


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--mlserver", help="Python of an environment with MLServer.")
    parser.add_argument("--litserve", help="Python of an environment with LitServe.")
    parser.add_argument("--quick", action="store_true", help="Two minutes, rough.")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="Of one turn.")
    parser.add_argument("--threads", type=int, default=2, help="Of every graph.")
    parser.add_argument("--only", choices=("facenet", "light"))
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and end the servers on the way
    options.rounds = options.rounds or (3 if options.quick else 7)
    options.seconds = options.seconds or (0.6 if options.quick else 2.0)
    for name in ("mlserver", "litserve"):
        if getattr(options, name) is None:
            print(f"{name} is left out: give --{name} PYTHON.\n")
    print(f"Client against a trivial server, 77 kB a request:\n\n{ceiling(77_000, 1.0)}")
    if options.only != "light":
        report("FaceNet, 80 px", FACENET, options)
    if options.only != "facenet":
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch, "yolov8-v1.0.0")
            subprocess.run([sys.executable, "-m", "benchmarks.light", str(folder)], check=True)
            report("YOLOv8n, 64 px", folder, options)


if __name__ == "__main__":
    main()

"""Reading a registry of thousands of tags: ours, GTO, and MLflow's client on SQLite.

python -m benchmarks.registry [--sizes 5000 50000] [--gto 5000] [--mlflow PYTHON] [--runs N]

Makes repositories with as many version and stage tags (a chain as ours, in GTO's shape),
clones them as a user would, and runs each program from its start to its end, in turn. GTO is
run at the sizes of --gto alone, once, since it takes a minute. For MLflow give the Python of
an environment of its own, since its pins differ from ours:

python -m venv build/mlflow && build/mlflow/bin/pip install mlflow-skinny sqlalchemy alembic
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from facemodels.names import ModelId
from facemodels.registry import rules
from facemodels.registry.events import Event, read_record, to_text, write_record
from facemodels.registry.proposals import ProposedEvent
from facemodels.registry.state import State, Status
from facemodels.registry.tag_names import parse
from facemodels.text import markdown

BIN = Path(sys.executable).parent
MODELS = ("det-yolov8", "rec-facenet", "lmk-dlib")
WHO = "Bench <bench@example.invalid>"
START = 1_700_000_000
FACTS = {
    "path": "models/recognition/facenet-v1.0.0",
    "created_at": "2026-01-01T00:00:00Z",
    "metrics": {"accuracy": 0.93575, "auc": 0.97657, "model_size_mb": 94.2, "eer": 0.062},
    "interface": {
        "architecture": "InceptionResnetV1",
        "input_shape": [80, 80, 3],
        "output_shape": [512],
        "embedding_space": None,
        "runtimes": ["onnx", "torch"],
    },
    "changelog": "Improved accuracy on diverse faces",
    "tags": ["gpu-optimized"],
}
EVIDENCE = {"package": "sha256:" + "a" * 64, "dvc": "md5:" + "b" * 32 + ".dir"}


def changes(tags: int, commits: list[str]) -> Iterator[tuple[ProposedEvent, State]]:
    """Legal events: versions that come, go to staging, and take over in production."""
    state = State()
    made = 0
    for number, commit in enumerate(commits):
        model = ModelId.parse(f"{MODELS[number % 3]}-v1.{number // 3}.0")
        for act in ("register", "staging", "production")[: 3 if number % 4 == 0 else 2]:
            if made == tags:
                return
            made += 1
            yield change(state, model, commit, act), state


def change(state: State, model: ModelId, commit: str, act: str) -> ProposedEvent:
    """One legal event."""
    if act == "register":
        return rules.register(state, model, commit, reason="better", evidence=EVIDENCE, entry=FACTS)
    status: Status = "staging" if act == "staging" else "production"
    return rules.move(state, model, status, reason="good", re_enrolment="x")


def make(folder: Path, tags: int) -> str:
    """A bare repository with a chain of `tags` events; returns the id of a version in it."""
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(folder)], check=True)
    commits = tags // 2
    stream = "".join(
        f"commit refs/heads/main\nmark :{i + 1}\ncommitter {WHO} {START + i} +0000\n"
        f"data 1\n{'x'}\n" + (f"from :{i}\n" if i else "")
        for i in range(commits)
    )
    feed(folder, stream)
    listed = subprocess.run(
        ["git", "rev-list", "--reverse", "main"], cwd=folder, check=True, capture_output=True
    )
    ids = listed.stdout.decode().split()
    previous: Event | None = None
    parts = []
    counters: dict[str, int] = {}
    for planned, state in changes(tags, ids):
        name = str(planned.model.name)
        tag = planned.tag
        if "#" in tag:  # rules count over all events, which is square in their number here
            counters[name] = counters.get(name, 0) + 1
            tag = f"{tag.rsplit('#', 1)[0]}#{counters[name]}"
        moment = (previous.time if previous else START) + 1
        message = write_record(record(planned, tag, previous, moment))
        body = f"object {planned.commit}\ntype commit\ntag {tag}\ntagger {WHO} {moment} +0000\n\n"
        data = (body + message).encode()
        oid = hashlib.sha1(b"tag %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
        meaning = parse(tag)
        assert meaning is not None
        previous = Event(
            tag, meaning, oid, planned.commit, tag, WHO, moment, read_record(message), message
        )
        state.apply(previous)
        state.events.clear()  # see above
        parts.append(
            f"tag {tag}\nfrom {planned.commit}\ntagger {WHO} {moment} +0000\n"
            f"data {len(message.encode())}\n{message}\n"
        )
    assert previous is not None
    feed(folder, "".join(parts))
    subprocess.run(
        ["git", "update-ref", "refs/facemodels/head", previous.object], cwd=folder, check=True
    )
    return f"{MODELS[1]}-v1.{commits // 6}.0"


def record(
    change: ProposedEvent, tag: str, previous: Event | None, moment: int
) -> dict[str, object]:
    """The message of an event, as the registry writes it."""
    return {
        "format": 1,
        "sequence": previous.sequence + 1 if previous else 1,
        "previous": {"tag": previous.tag, "object": previous.object} if previous else None,
        "tag": tag,
        "commit": change.commit,
        "act": change.act,
        "model_id": str(change.model),
        "status": change.status,
        "actor": WHO,
        "time": to_text(moment),
        "reason": change.reason,
        "evidence": dict(change.evidence),
        **change.extra,
    }


def feed(folder: Path, stream: str) -> None:
    """Write objects and refs in bulk."""
    command = ["git", "fast-import", "--quiet", "--date-format=raw"]
    subprocess.run(command, cwd=folder, input=stream.encode(), check=True)


MLFLOW_FILL = """
import sys
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore
from mlflow.entities.model_registry import ModelVersionTag
from mlflow.store.model_registry.dbmodels.models import SqlModelVersion, SqlRegisteredModel
store = SqlAlchemyStore(sys.argv[1])
names = ["detection-yolov8", "recognition-facenet", "landmark-dlib"]
for name in names:
    store.create_registered_model(name)
with store.ManagedSessionMaker() as session:
    for i in range(int(sys.argv[2])):
        session.add(SqlModelVersion(
            name=names[i % 3], version=i // 3 + 1, creation_time=i, last_updated_time=i,
            description="better", source="s3://m", current_stage="Staging", status="READY"))
"""
MLFLOW_START = "import sys; from mlflow import MlflowClient; c = MlflowClient(sys.argv[1])\n"
MLFLOW = {
    "list": MLFLOW_START + "t = None; n = 0\n"
    "while True:\n"
    "    p = c.search_model_versions(max_results=10000, page_token=t); n += len(p); t = p.token\n"
    "    if not t: break\n"
    "print(n)",
    "info": MLFLOW_START + "print(c.get_model_version('recognition-facenet', '7'))",
}


def seconds(command: list[str], folder: Path) -> float:
    """Wall time of one run, from the start of the process to its end."""
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    elapsed = time.perf_counter() - start
    if done.returncode != 0 or not done.stdout.strip():
        raise SystemExit(f"{' '.join(command)}: {done.stderr.decode()[-2000:]}")
    return elapsed


def measure(
    folder: Path, model: str, *, gto: bool, mlflow: list[str] | None, runs: int
) -> list[dict[str, object]]:
    """One row a question."""
    ours = [str(BIN / "facemodels"), "registry"]
    questions = {
        "list": ([*ours, "list"], ["show"], "list"),
        "info": ([*ours, "info", "--model-id", model], ["show", "recognition-facenet"], "info"),
        "history": ([*ours, "history"], ["history"], None),
        "list --json": ([*ours, "list", "--json"], None, None),
        "at": ([*ours, "at", "2030-01-01"], None, None),
    }  # fmt: skip
    rows: list[dict[str, object]] = []
    for question, (command, rival, key) in questions.items():
        seconds(command, folder)
        others = [[mlflow[0], "-c", MLFLOW[key], mlflow[1]]] if mlflow and key else []
        taken = np.array([[seconds(c, folder) for c in (command, *others)] for _ in range(runs)])
        row: dict[str, object] = {"question": question, "ours s": float(np.median(taken[:, 0]))}
        row["mlflow / ours"] = float(np.median(taken[:, 1] / taken[:, 0])) if others else ""
        row["gto / ours"] = ""
        if gto and rival:
            row["gto / ours"] = seconds([str(BIN / "gto"), *rival], folder) / float(
                np.median(taken[:, 0])
            )
        rows.append(row)
    return rows


def main() -> None:
    """Print a table a size, and how the time grows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[5_000, 50_000])
    parser.add_argument("--gto", type=int, nargs="*", default=[5_000])
    parser.add_argument("--mlflow", help="Python of an environment with MLflow.")
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    growth: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for size in options.sizes:
            bare, clone = Path(scratch, f"{size}.git"), Path(scratch, str(size))
            model = make(bare, size)
            subprocess.run(["git", "clone", "-q", str(bare), str(clone)], check=True)
            mlflow = None
            if options.mlflow:
                url = f"sqlite:///{scratch}/{size}.db"
                fill = [options.mlflow, "-c", MLFLOW_FILL, url, str(size // 2)]
                subprocess.run(fill, check=True, capture_output=True)
                mlflow = [options.mlflow, url]
            rows = measure(clone, model, gto=size in options.gto, mlflow=mlflow, runs=options.runs)
            print(f"{size} tags, {size // 2} versions\n\n{markdown(rows)}")
            for row in rows:
                growth.setdefault(str(row["question"]), []).append(float(str(row["ours s"])))
    start = seconds([str(BIN / "facemodels"), "--help"], Path())
    print(f"Start of the interpreter and the command line alone: {start:.3f} s\n")
    if len(options.sizes) > 1:
        factor = options.sizes[-1] / options.sizes[0]
        lines = [
            {"question": q, f"time x, tags x {factor:g}": (t[-1] - start) / (t[0] - start)}
            for q, t in growth.items()
        ]
        print(markdown(lines))


if __name__ == "__main__":
    main()

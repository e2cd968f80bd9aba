"""A step shared out among worker processes against the step of two threads.

python -m benchmarks.workers [--steps N] [--rounds N] [--workers N] [--micro-batches N] [--avx2]

`threads` is what a training did before: two threads, the whole batch at once, in the mode
`determinism: machine`. `workers` computes portably, one thread a process. Both are trainings of
params.yaml on a small sample. They take turns, so that both meet the same noise; a turn's time is
the median of its steps, and the ratio is the median over the turns. With `--avx2` the threads use
no instruction above AVX2, as on a machine that has none; portable workers never do.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facemodels.training.loop import Trainer

MODELS = ("recognition-facenet", "recognition-arcface", "detection-yolov8")
Job = dict[str, Any]
OLD: Job = {"mode": "machine", "threads": 2, "micro_batches": 1, "workers": 1}
# For torch's own kernels, oneDNN and MKL.
AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}


def serve(job: Job) -> None:
    """In a process of its own: for each line of standard input, time a few steps."""
    from facemodels.determinism import settle

    settle(job["mode"])
    from benchmarks.training import learned
    from facemodels.training.loop import Trainer, deterministic

    build, task, settings = learned(job["model"])
    changes = {key: job[key] for key in ("threads", "micro_batches", "steps")}
    endless = {"validate_every": 10**9, "checkpoint_every": 10**9}
    settings = settings.model_copy(update=changes | endless)
    task.validate = lambda network: {task.monitor: 0.0}  # type: ignore[method-assign]
    print("ready", flush=True)
    for _ in sys.stdin:
        with (
            deterministic(settings.threads, settings.seed),
            tempfile.TemporaryDirectory() as folder,
        ):
            trainer = Trainer(build(), task, settings, workers=job["workers"])
            print(seconds_a_step(trainer, Path(folder, "checkpoint.pt")), flush=True)


def seconds_a_step(trainer: Trainer, checkpoint: Path) -> float:
    """The median of a training's steps, without the first, which warms up."""
    moments: list[float] = []
    trainer.run(
        checkpoint,
        advance=lambda units: moments.append(time.perf_counter()),
        log=lambda record: None,
    )
    steps = [after - before for before, after in pairwise(moments[1:])]
    return statistics.median(steps)


@contextmanager
def process(job: Job, limits: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A process that serves a job, with further environment variables."""
    call = [sys.executable, "-m", "benchmarks.workers", "--serve", json.dumps(job)]
    with subprocess.Popen(
        call,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **limits},
    ) as started:
        assert started.stdout is not None
        if started.stdout.readline() != "ready\n":
            raise SystemExit(f"The process of {job} did not start.")
        yield started


def turn(started: subprocess.Popen[str]) -> float:
    """Seconds a step of one turn."""
    assert started.stdin is not None
    assert started.stdout is not None
    started.stdin.write("go\n")
    started.stdin.flush()
    return float(started.stdout.readline())


def measure(
    model: str, new: Mapping[str, Any], steps: int, rounds: int, limits: Mapping[str, str]
) -> dict[str, object]:
    """Seconds a step of both, in turns of `steps` steps; `limits` are set for the threads."""
    with ExitStack() as stack:
        both = [
            stack.enter_context(process({"model": model, "steps": steps, **job}, environment))
            for job, environment in ((OLD, limits), (new, {}))
        ]
        times = [[turn(one) for one in both] for _ in range(rounds)]
        for one in both:
            assert one.stdin is not None
            one.stdin.close()
    old, ours = zip(*times, strict=True)
    return {
        "model": model,
        "threads ms/step": 1e3 * statistics.median(old),
        "workers ms/step": 1e3 * statistics.median(ours),
        "workers/threads": statistics.median(b / a for a, b in times),
        "least/least": min(ours) / min(old),
    }


def main() -> None:
    """Print one row a model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--micro-batches", type=int, default=2)
    parser.add_argument("--avx2", action="store_true", help="for the threads: nothing above AVX2")
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(json.loads(given.serve))
        return
    from facemodels.text import markdown

    new = {"mode": "portable", "threads": 1, "workers": given.workers}
    new["micro_batches"] = given.micro_batches
    limits = AVX2 if given.avx2 else {}
    rows = [measure(one, new, given.steps, given.rounds, limits) for one in given.models]
    print(markdown(rows))


if __name__ == "__main__":
    main()

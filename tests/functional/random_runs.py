"""Trains the models of a built `profile=smoke` again and again, shot and resized at random.

    python random_runs.py RUNS SEED      # in the folder of the build

A run is a training of six steps in eight micro-batches by 1 to 8 processes. Up to twice its
first process is shot, at a random micro-batch of a random step, and another number of processes
goes on from the checkpoint; in every other try a worker is shot too. Prints a JSON object: by
model how many runs and shots there were, and the digests of the weights, the one of an
undisturbed process first.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from facemodels.determinism import settle

settle("portable")

from facemodels import params  # noqa: E402
from facemodels.files import sha256  # noqa: E402
from facemodels.models import architecture  # noqa: E402
from facemodels.pipeline.compose import compose  # noqa: E402
from facemodels.pipeline.train import train  # noqa: E402
from facemodels.training.micro_batches import MicroBatches  # noqa: E402

STEPS, PARTS = 6, 8
BATCHES = {  # a part has two rows
    "detection-yolov8": {"batch_size": 16},
    "recognition-facenet": {"batch_people": 8, "batch_images": 2},
    "recognition-arcface": {"batch_people": 8, "batch_images": 2},
}
Place = tuple[int, int]  # step and micro-batch
_fill = MicroBatches._fill_slot


@dataclass
class Tally:
    """What became of the runs of one model."""

    digests: list[str]
    runs: int = 0
    shots: int = 0
    workers: set[int] = field(default_factory=set)


def settings(folder: Path) -> params.Params:
    """The parameters of the runs."""
    changed = {
        name: {**batch, "steps": STEPS, "micro_batches": PARTS, "checkpoint_every": 2}
        for name, batch in BATCHES.items()
    }
    overrides = ["profile=smoke"] + [
        f"++models.{name}.train.{key}={value}"
        for name, values in changed.items()
        for key, value in values.items()
    ]
    compose(Path("conf"), folder / "params.yaml", overrides, dry_run=False)
    return params.load(folder / "params.yaml")


def shoot(first: Place | None, worker: Place | None) -> None:
    """Arm this process, the first one, and those that it will fork."""
    leader = os.getpid()

    def fill(self: MicroBatches, step: int, index: int, *rest: object) -> None:
        if (step, index) == first:
            os.kill(leader, signal.SIGKILL)
        if (step, index) == worker and os.getpid() != leader:
            os.kill(os.getpid(), signal.SIGKILL)
        _fill(self, step, index, *rest)

    MicroBatches._fill_slot = fill


def _train_here(
    name: str,
    chosen: params.Params,
    folder: Path,
    workers: int,
    first: Place | None,
    worker: Place | None,
) -> NoReturn:
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    code = 1
    try:
        shoot(first, worker)
        model = chosen.model(name)
        kind = architecture(model.task, model.architecture)
        train(
            kind.of(model.network),
            kind.settings(model.training),
            data=Path("data/prepared", model.task),
            output=folder / "model",
            curves_folder=folder / "curves",
            checkpoints=folder / "checkpoints",
            workers=workers,
        )
        code = 0
    except Exception:  # noqa: BLE001  (whatever it is, this process ends here)
        traceback.print_exc()
    finally:
        os._exit(code)


def attempt(
    name: str,
    chosen: params.Params,
    folder: Path,
    workers: int,
    first: Place | None = None,
    worker: Place | None = None,
) -> str | None:
    """The digest of the weights that a process of its own trained; nothing where it was shot."""
    child = os.fork()
    if child == 0:
        _train_here(name, chosen, folder, workers, first, worker)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == -signal.SIGKILL:
        return None
    if code:
        raise SystemExit((folder / "log").read_text())
    (weights,) = (folder / "model").glob("model.*")
    return sha256(weights)


def main(runs: int, seed: int) -> None:
    """Make the runs."""
    rng = random.Random(seed)

    def place() -> Place:
        return rng.randrange(STEPS), rng.randrange(PARTS)

    with tempfile.TemporaryDirectory() as scratch:
        chosen = settings(Path(scratch))
        tallies = {}
        for run in range(runs):
            name = list(BATCHES)[run % len(BATCHES)]
            folder = Path(scratch, str(run))
            if name not in tallies:
                (folder / "alone").mkdir(parents=True)
                digest = attempt(name, chosen, folder / "alone", 1)
                tallies[name] = Tally([str(digest)])
            folder.mkdir(exist_ok=True)
            tally = tallies[name]
            tally.runs += 1
            firsts = [*(place() for _ in range(rng.randrange(3))), None]
            for first in firsts:
                workers = rng.randrange(1, PARTS + 1)
                tally.workers.add(workers)
                worker = place() if rng.random() < 0.5 else None
                found = attempt(name, chosen, folder, workers, first, worker)
                if found is not None:
                    break
                tally.shots += 1
            if found not in tally.digests:
                tally.digests.append(str(found))
            print(run, name, found, file=sys.stderr, flush=True)
    print(
        json.dumps(
            {
                name: {**vars(tally), "workers": sorted(tally.workers)}
                for name, tally in tallies.items()
            }
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))

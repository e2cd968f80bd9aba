"""Our training loop against the plainest loop with the same network, batch and steps.

python -m benchmarks.training [--steps N]

The plain loop holds one batch in memory: no loading, no augmentation, no checkpoints, no
averages. What ours takes longer is what those cost. The two take turns, so that both
meet the same noise; the ratio is of medians of steps.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from facemodels import params
from facemodels.data.sample import generate
from facemodels.detection import batches
from facemodels.detection.yolov8 import BoxTask, YoloV8
from facemodels.models import architecture
from facemodels.params import ModelParams
from facemodels.recognition.embedding_architecture import EmbeddingArchitecture
from facemodels.recognition.learning import EmbeddingTask
from facemodels.text import markdown
from facemodels.training.loop import Task, Trainer, deterministic
from facemodels.training.settings import TorchTraining


def learned(name: str) -> tuple[Callable[[], nn.Module], Task, TorchTraining]:
    """Network, task and settings of a model of params.yaml, on a small sample."""
    model = params.load().model(name)
    return (recognition if model.task == "recognition" else detection)(model)


def recognition(model: ModelParams) -> tuple[Callable[[], nn.Module], Task, TorchTraining]:
    """A network of embeddings and what it learns."""
    kind = architecture(model.task, model.architecture).of(model.network)
    assert isinstance(kind, EmbeddingArchitecture)
    settings = kind.settings(model.train)
    split = generate.recognition_split(
        "train",
        seed=1,
        identities=40,
        images_per_identity=6,
        image_size=112,
        folds=2,
        pairs_per_fold=4,
        workers=2,
    )
    task = EmbeddingTask(settings, kind.inputs, kind.embedding_size, split, split)
    return kind.build_for_training, task, settings


def detection(model: ModelParams) -> tuple[Callable[[], nn.Module], Task, TorchTraining]:
    """YOLOv8 and what it learns."""
    kind, settings = YoloV8.of(model.network), YoloV8.settings(model.train)
    size = kind.network.image_size
    split = generate.detection_split("train", seed=1, scenes=40, image_size=320, workers=2)
    task = BoxTask(settings, size, batches.resized(split, size), split)
    return kind.build, task, settings


def plain_step(
    network: nn.Module, task: Task, batch: Any, optimizer: torch.optim.Optimizer
) -> None:
    """Forward, backward, update: what no loop can do without."""
    inputs, answers = batch
    loss = task.loss(network, task.outputs(network, inputs), answers)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), 5.0)
    optimizer.step()


def measure(name: str, steps: int, rounds: int) -> dict[str, object]:
    """Seconds a step of both loops, in turns of `steps` steps."""
    build, task, settings = learned(name)
    settings = settings.model_copy(
        update={"steps": steps, "validate_every": 10**9, "checkpoint_every": 10**9}
    )
    task.validate = lambda network: {task.monitor: 0.0}  # type: ignore[method-assign]
    batch = task.batch(0)
    plain: list[float] = []
    ours: list[float] = []
    with deterministic(settings.threads, settings.seed), tempfile.TemporaryDirectory() as scratch:
        for turn in range(rounds):
            network = build().train()
            optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
            plain_step(network, task, batch, optimizer)
            start = time.perf_counter()
            for _ in range(steps):
                plain_step(network, task, batch, optimizer)
            plain.append((time.perf_counter() - start) / steps)
            trainer = Trainer(build(), task, settings)
            start = time.perf_counter()
            trainer.run(
                Path(scratch, f"{turn}.pt"), advance=lambda n: None, log=lambda record: None
            )
            ours.append((time.perf_counter() - start) / steps)
    return {
        "loop": name,
        "plain ms/step": 1e3 * float(np.median(plain)),
        "ours ms/step": 1e3 * float(np.median(ours)),
        "ours/plain": float(np.median(np.array(ours) / np.array(plain))),
    }


def main() -> None:
    """Print one row a network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rows = [
        measure(name, options.steps, options.rounds)
        for name in ("recognition-facenet", "detection-yolov8")
    ]
    print(markdown(rows))


if __name__ == "__main__":
    main()

"""Images a second of the loader, from a file, from shards and from a store, beside a step.

python -m benchmarks.loader [--images 8000] [--delay-ms 20]

The loader makes batches of recognition-arcface as in params.yaml, in one thread, as in a training.
The store is a folder that answers each round of ranges after a delay, like one in the same region;
its cache holds a tenth of the images. All take turns; a row is the median of the batches.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import torch
from fsspec.implementations.local import LocalFileSystem

from benchmarks.training import plain_step
from facemodels import params
from facemodels.data.image_places import IN_MEMORY, ImagePlace, ImagesInShards
from facemodels.data.splits import RecognitionSplit
from facemodels.models import architecture
from facemodels.recognition.embedding_architecture import EmbeddingArchitecture
from facemodels.recognition.learning import EmbeddingTask
from facemodels.text import markdown
from facemodels.training.loop import deterministic

_EACH = 8  # images of a person
_SIDE = 112
_STEPS = 40


class SlowFiles(LocalFileSystem):  # type: ignore[misc]
    """A folder that is as far away as a store."""

    protocol = "slow"
    delay = 0.02  # s

    def cat_ranges(self, *arguments: Any, **named: Any) -> list[bytes]:
        """Answer all ranges together, after the delay."""
        time.sleep(self.delay)
        parts: list[bytes] = super().cat_ranges(*arguments, **named)
        return parts


def split(folder: Path, count: int, place: ImagePlace) -> None:
    """Write noise as a training split."""
    rng = np.random.default_rng(0)
    rows = place.rows("train", "arcface112", most=count, size=_SIDE)
    for _ in range(count):
        rows.append(rng.integers(0, 256, (_SIDE, _SIDE, 3), np.uint8))
    people = (np.arange(count) // _EACH).astype(np.int32)
    RecognitionSplit(
        images=rows.close(),
        identities=people,
        groups=np.zeros(count, np.int8),
        pairs=np.zeros((0, 2), np.int32),
        same=np.zeros(0, np.bool_),
        folds=np.zeros(0, np.int8),
        found=np.ones(count, np.bool_),
        crop="arcface112",
    ).save(folder / "train")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=8000)
    parser.add_argument("--delay-ms", type=float, default=20)
    given = parser.parse_args()
    SlowFiles.delay = given.delay_ms / 1000
    fsspec.register_implementation("slow", SlowFiles)
    model = params.load().model("recognition-arcface")
    kind = architecture(model.task, model.architecture).of(model.network)
    assert isinstance(kind, EmbeddingArchitecture)
    settings = kind.settings(model.train)
    size = settings.batch_people * settings.batch_images
    with tempfile.TemporaryDirectory() as scratch, deterministic(settings.threads, settings.seed):
        root = Path(scratch)
        split(root / "file", given.images, IN_MEMORY)
        split(root / "shards", given.images, ImagesInShards(root / "shards", 16 * 10**6))
        (root / "store").mkdir()
        for path in root.glob("shards/train/**/*"):
            if path.suffix != ".npy" and path.is_file():
                target = root / "store" / path.relative_to(root / "shards")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
        cache = max(1, given.images * _SIDE * _SIDE * 3 // 10**7)
        remote = {"url": f"slow://{root / 'shards'}", "cache_mb": cache}
        (root / "store" / "remote.json").write_text(json.dumps(remote))
        times: dict[str, list[float]] = {}
        tasks = {}
        for name in ("file", "shards", "store"):
            loaded = RecognitionSplit.load(root / name / "train")
            tasks[name] = EmbeddingTask(settings, kind.inputs, kind.embedding_size, loaded, loaded)
        network = kind.build_for_training().train()
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
        for step in range(_STEPS):
            for name, task in tasks.items():
                start = time.perf_counter()
                batch = task.batch(step)
                times.setdefault(name, []).append(time.perf_counter() - start)
            start = time.perf_counter()
            plain_step(network, tasks["file"], batch, optimizer)
            times.setdefault("a step of training", []).append(time.perf_counter() - start)
    rows: list[dict[str, object]] = [
        {
            "what": name,
            f"ms for {size} images": 1e3 * statistics.median(taken),
            "images/s": size / statistics.median(taken),
        }
        for name, taken in times.items()
    ]
    print(markdown(rows))


if __name__ == "__main__":
    main()

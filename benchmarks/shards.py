"""Memory and rates of shards: so many tiny images through prepare, and one epoch of reading.

python -m benchmarks.shards --images 1000000
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from facemodels.data.dataset_kind import DatasetSettings, DatasetSplits, FaceFinder, RecognitionKind
from facemodels.data.datasets import Dataset
from facemodels.data.executors import Workers, executor_of
from facemodels.data.image_places import IN_MEMORY, ImagePlace
from facemodels.data.pairs import verification_pairs
from facemodels.data.splits import RecognitionSplit
from facemodels.params import PrepareWork
from facemodels.pipeline.prepare import prepare

SIDE = 16
_EACH = 10  # images of a person
_MEASURED = 2_000  # images of val, and of test
_BATCH = 64


class TinySettings(DatasetSettings):
    """How many images.

    Attributes:
        train: images of the training split.
    """

    train: int


class TinyFaces(RecognitionKind[TinySettings]):
    """Noise of 16 pixels a side, ten images a person, made by the executor one at a time."""

    reader = "tiny"
    layout = "none"
    settings = TinySettings

    def read(
        self,
        settings: TinySettings,
        *,
        workers: Workers,
        place: ImagePlace = IN_MEMORY,
        finder: FaceFinder | None = None,
    ) -> DatasetSplits[RecognitionSplit]:
        """Draw the splits."""
        splits, first = {}, 0
        for name, count in (("train", settings.train), ("val", _MEASURED), ("test", _MEASURED)):
            rows = place.rows(name, "tiny", most=count, size=SIDE)
            numbers = range(first, first + count)
            with closing(executor_of(workers).in_order(tiny, numbers, count)) as images:
                for image in images:
                    rows.append(image)
            people = (np.arange(first, first + count) // _EACH).astype(np.int32)
            pairs = verification_pairs(people, folds=10, per_fold=100, seed=1)
            splits[name] = RecognitionSplit(
                images=rows.close(),
                identities=people,
                groups=np.zeros(count, np.int8),
                pairs=pairs.index,
                same=pairs.same,
                folds=pairs.fold,
                found=np.ones(count, np.bool_),
                crop="tiny",
            )
            first += count
        return DatasetSplits(splits, groups=("all",))


def tiny(number: int) -> NDArray[np.uint8]:
    """The image of a number, uint8 (16, 16, 3)."""
    return np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), np.uint8)


def prepared(folder: Path, images: int, workers: int) -> None:
    """Prepare so many images in shards of 8 MB."""
    settings = TinySettings(
        reader="tiny", source="none", train=images, storage="shards", shard_mb=8
    )
    work = PrepareWork(workers=workers)
    prepare(Dataset(TinyFaces(), settings), folder, folder / "report.json", None, work)


def epoch(folder: Path) -> None:
    """Read every training image once, in batches of rows in no order."""
    split = RecognitionSplit.load(folder / "train")
    order = np.random.default_rng(0).permutation(len(split))
    for start in range(0, len(order), _BATCH):
        split.images[order[start : start + _BATCH]]


def measured(work: Callable[..., None], *arguments: object) -> tuple[float, float]:
    """Seconds of some work in a process of its own, and the most MB of it and its processes."""
    process = multiprocessing.get_context("spawn").Process(target=work, args=arguments)
    most, over = 0, threading.Event()
    start = time.perf_counter()
    process.start()
    seen = psutil.Process(process.pid)

    def watch() -> None:
        nonlocal most
        while not over.wait(0.05):
            most = max(most, _resident(seen))

    watcher = threading.Thread(target=watch)
    watcher.start()
    process.join()
    over.set()
    watcher.join()
    if process.exitcode:
        raise SystemExit(process.exitcode)
    return time.perf_counter() - start, most / 1e6


def _resident(process: psutil.Process) -> int:
    """Bytes of a process and those below it; pages that they share count for each."""
    total = 0
    try:
        for one in (process, *process.children(recursive=True)):
            total += one.memory_info().rss
    except psutil.NoSuchProcess:
        pass
    return total


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name, work, arguments in (
            ("prepare", prepared, (folder, given.images, given.workers)),
            ("epoch", epoch, (folder,)),
        ):
            seconds, most = measured(work, *arguments)
            rate = given.images / seconds
            print(f"{name}: {given.images} images, {seconds:.0f} s, {rate:.0f}/s, {most:.0f} MB")


if __name__ == "__main__":
    main()

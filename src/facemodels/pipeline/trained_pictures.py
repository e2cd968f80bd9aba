"""Remembers the pictures that a one-off training saw, to find them in what it is tested on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facemodels.data.leaks import shared_pictures
from facemodels.data.splits import images_of
from facemodels.imaging import resize

_FILE = "trained_pictures.npy"  # beside the weights; it is no part of a package
_WIDTH, _HEIGHT = 17, 16  # what the hash of `data.leaks` looks at


def remember(data: Path, folder: Path) -> None:
    """Write thumbnails of the training split of prepared data beside the weights.

    Args:
        data: prepared data.
        folder: the folder of the weights.
    """
    images = images_of(data / "train")
    thumbnails = np.lib.format.open_memmap(
        folder / _FILE, "w+", np.uint8, (len(images), _HEIGHT, _WIDTH, 3)
    )
    for row, image in enumerate(images):
        thumbnails[row] = resize(np.ascontiguousarray(image), _WIDTH, _HEIGHT)
    thumbnails.flush()


def seen_in_training(folder: Path, data: Path) -> float:
    """The share of the pictures of val and test that the training saw, 0 to 1.

    Args:
        folder: the folder of the weights; without a record nothing is known, and 0 the answer.
        data: prepared data to test on.
    """
    if not (folder / _FILE).is_file():
        return 0.0
    trained = np.load(folder / _FILE, mmap_mode="r", allow_pickle=False)
    tested = [images_of(data / split) for split in ("val", "test")]
    found = [
        shared_pictures({"trained": trained, "tested": images}).get("trained/tested", 0)
        for images in tested
    ]
    return sum(found) / max(1, sum(map(len, tested)))

"""Where the images of a dataset go while they are read or drawn: into memory, or into shards."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from facemodels.data.shards import ShardWriter
from facemodels.data.splits import Images


class ImageRows(Protocol):
    """Takes images of one size in their order."""

    def append(self, image: NDArray[np.uint8]) -> None:
        """Add an image uint8 (S, S, 3)."""

    def close(self) -> Images:
        """All images, after the last one was added."""


class ImagePlace(Protocol):
    """Gives the rows of each split."""

    def rows(self, split: str, name: str, *, most: int, size: int) -> ImageRows:
        """Begin the images of a split.

        Args:
            split: train, val or test.
            name: `images`, or the crop of the faces.
            most: the most images that will be added.
            size: S, their side in pixels.
        """


class ImagesInMemory:
    """One array for each split, as big as all of its images."""

    def rows(self, split: str, name: str, *, most: int, size: int) -> ImageRows:
        """Begin the images of a split; see `ImagePlace`."""
        return _Array(np.empty((most, size, size, 3), np.uint8))


@dataclass(frozen=True)
class ImagesInShards:
    """Shards below the folder of the prepared data; a shard is held in memory, and no more.

    Attributes:
        folder: the folder that gets the splits.
        shard_bytes: the most bytes of images in a shard.
    """

    folder: Path
    shard_bytes: int

    def rows(self, split: str, name: str, *, most: int, size: int) -> ImageRows:
        """Begin the images of a split, see `ImagePlace`; for none of them nothing is written."""
        if not most:
            return IN_MEMORY.rows(split, name, most=most, size=size)
        shape = (size, size, 3)
        whole = most * size * size * 3
        return ShardWriter(self.folder / split / name, shape, min(self.shard_bytes, whole))


class _Array:
    def __init__(self, images: NDArray[np.uint8]) -> None:
        self._images, self._filled = images, 0

    def append(self, image: NDArray[np.uint8]) -> None:
        self._images[self._filled] = image
        self._filled += 1

    def close(self) -> Images:
        return self._images[: self._filled]


IN_MEMORY = ImagesInMemory()

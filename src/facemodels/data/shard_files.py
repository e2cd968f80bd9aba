"""The files of shards that lie on this machine, mapped into memory."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

# What a process may hold of mapped files, in bytes, before it lets go of all of it. The pages stay
# in the system's cache, so that reading them again costs a fault each and no reading.
_HELD = 256 << 20
_FAULT_AROUND = 64 << 10  # bytes; what Linux maps where one byte is touched


@dataclass(frozen=True)
class Shard:
    """One shard of an index.

    Attributes:
        file: its name in the folder.
        rows: number of images.
        sha256: of the file, in hexadecimal digits.
    """

    file: str
    rows: int
    sha256: str


@dataclass(frozen=True)
class Layout:
    """Where the images lie in their shards.

    Attributes:
        shape: of one image, (S, S, 3).
        offset: bytes before the first row of a shard.
        shards: the shards in order.
    """

    shape: tuple[int, ...]
    offset: int
    shards: tuple[Shard, ...]

    @property
    def row_bytes(self) -> int:
        """Bytes of one image."""
        return prod(self.shape)

    def size(self, shard: Shard) -> int:
        """Bytes of the file of a shard."""
        return self.offset + shard.rows * self.row_bytes


class ShardFiles(Protocol):
    """Reads rows of shards."""

    def take(self, shards: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Images uint8 (K, S, S, 3), as a copy.

        Args:
            shards: int64 (K,), the shard of each image.
            rows: int64 (K,), its row there.
        """


class MappedShards:
    """Shards of a local folder, mapped into memory when they are first used."""

    def __init__(self, folder: Path, layout: Layout) -> None:
        self._folder, self._layout = folder, layout
        self._maps: dict[int, tuple[mmap.mmap, NDArray[np.uint8]]] = {}
        self._held = 0

    def take(self, shards: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Images uint8 (K, S, S, 3), as a copy; see `ShardFiles`."""
        images = np.empty((len(rows), *self._layout.shape), np.uint8)
        for shard in np.unique(shards):
            wanted = shards == shard
            images[wanted] = self._mapped(int(shard))[rows[wanted]]
        self._held += images.nbytes + len(rows) * _FAULT_AROUND
        if self._held > _HELD:
            self._let_go()
        return images

    def _mapped(self, number: int) -> NDArray[np.uint8]:
        if number not in self._maps:
            shard = self._layout.shards[number]
            with (self._folder / shard.file).open("rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            values = np.frombuffer(mapped, np.uint8, offset=self._layout.offset)
            self._maps[number] = mapped, values.reshape(shard.rows, *self._layout.shape)
        return self._maps[number][1]

    def _let_go(self) -> None:
        if hasattr(mmap, "MADV_DONTNEED"):
            for mapped, _ in self._maps.values():
                mapped.madvise(mmap.MADV_DONTNEED)
        self._held = 0

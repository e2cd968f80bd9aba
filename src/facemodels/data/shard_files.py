"""The files of shards: mapped into memory where they lie on this machine."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from facemodels.errors import DataError

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


class ShardFiles(Protocol):
    """Reads rows of shards."""

    def take(self, shard: int, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Images uint8 (K, S, S, 3) of one shard, by their rows in it, as a copy."""


class MappedShards:
    """Shards of a local folder, mapped into memory when they are first used."""

    def __init__(
        self, folder: Path, shards: tuple[Shard, ...], offset: int, shape: tuple[int, ...]
    ) -> None:
        """Look at all files, and open none.

        Args:
            folder: where they lie.
            shards: what the index says of them.
            offset: bytes before the first row of each.
            shape: of one image.

        Raises:
            DataError: one is missing or has another size than the index says.
        """
        self._folder, self._shards, self._offset, self._shape = folder, shards, offset, shape
        self._maps: dict[int, tuple[mmap.mmap, NDArray[np.uint8]]] = {}
        self._held = 0
        for shard in shards:
            path = folder / shard.file
            size = path.stat().st_size if path.is_file() else None
            if size != offset + shard.rows * prod(shape):
                raise DataError(
                    f"{path} is {'missing' if size is None else 'not as long as its index says'}.",
                    "Run `dvc checkout`, or `dvc repro prepare`.",
                )

    def take(self, shard: int, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Images uint8 (K, S, S, 3) of one shard, by their rows in it, as a copy."""
        if shard not in self._maps:
            self._maps[shard] = self._mapped(self._shards[shard])
        images: NDArray[np.uint8] = self._maps[shard][1][rows]
        self._held += images.nbytes + len(rows) * _FAULT_AROUND
        if self._held > _HELD:
            self._let_go()
        return images

    def _mapped(self, shard: Shard) -> tuple[mmap.mmap, NDArray[np.uint8]]:
        with (self._folder / shard.file).open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        values = np.frombuffer(mapped, np.uint8, offset=self._offset)
        return mapped, values.reshape(shard.rows, *self._shape)

    def _let_go(self) -> None:
        if hasattr(mmap, "MADV_DONTNEED"):
            for mapped, _ in self._maps.values():
                mapped.madvise(mmap.MADV_DONTNEED)
        self._held = 0

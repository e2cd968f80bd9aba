"""Images in shards: files of bounded size with an index, read by row in any order.

    <images>/index.json    the shape of an image, and of each shard its file, rows and SHA-256
    <images>/00000.npy     uint8 (R, S, S, 3), RGB, as `numpy.save` writes it; every shard has
                           the same R but the last one

All rows have one size, so that the place of a row in its file follows from its number, and one
image is one range of bytes. DVC keeps each shard as an object of its own: what did not change is
not sent again. See docs/adr/0017-images-in-shards.md.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facemodels.data.remote_shards import RemoteShards, RemoteShardsSettings
from facemodels.data.shard_files import Layout, MappedShards, Shard, ShardFiles
from facemodels.errors import DataError, IntegrityError
from facemodels.files import atomic_path, sha256, write_json

INDEX = "index.json"
_ROWS_AT_ONCE = 64  # of an iteration


def save_index(folder: Path, layout: Layout) -> None:
    """Write index.json into `folder`."""
    shards = [vars(shard) for shard in layout.shards]
    values = {"shape": list(layout.shape), "offset": layout.offset, "shards": shards}
    write_json(folder / INDEX, values)


def load_index(folder: Path) -> Layout:
    """Read index.json of `folder`.

    Raises:
        DataError: there is none, or it is not one of ours.
    """
    try:
        values = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        shards = tuple(Shard(**shard) for shard in values["shards"])
        return Layout(tuple(values["shape"]), values["offset"], shards)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{folder / INDEX} is no index of shards: {error}.", "Run `dvc repro prepare`."
        ) from error


class ShardWriter:
    """Writes images one after the other, and holds no more of them than one shard."""

    def __init__(self, folder: Path, shape: tuple[int, ...], shard_bytes: int) -> None:
        """Begin a folder of shards; what lies there is removed.

        Args:
            folder: gets the shards and their index.
            shape: of each image, (S, S, 3).
            shard_bytes: the most bytes of the images of a shard; one image at least.
        """
        shutil.rmtree(folder, ignore_errors=True)
        self._folder, self._shape = folder, shape
        self._rows = np.empty((max(1, shard_bytes // prod(shape)), *shape), np.uint8)
        self._filled, self._offset = 0, 0
        self._shards: list[Shard] = []

    def append(self, image: NDArray[np.uint8]) -> None:
        """Add an image of the shape."""
        self._rows[self._filled] = image
        self._filled += 1
        if self._filled == len(self._rows):
            self._write()

    def close(self) -> ShardedImages:
        """Write what is left, and the index."""
        if self._filled:
            self._write()
        save_index(self._folder, Layout(self._shape, self._offset, tuple(self._shards)))
        return ShardedImages.open(self._folder)

    def _write(self) -> None:
        name = f"{len(self._shards):05d}.npy"
        rows = self._rows[: self._filled]
        with atomic_path(self._folder / name) as path:
            with path.open("wb") as file:
                np.lib.format.write_array(file, rows, allow_pickle=False)
                self._offset = file.tell() - rows.nbytes
            digest = sha256(path)
        self._shards.append(Shard(name, self._filled, digest))
        self._filled = 0


class ShardedImages:
    """The images of a folder of shards, which are read when they are used.

    It is indexed and iterated like the array uint8 (N, S, S, 3) that it stands for, and gives
    copies.
    """

    def __init__(self, layout: Layout, files: ShardFiles) -> None:
        self._layout, self._files = layout, files
        self._ends = np.cumsum([shard.rows for shard in layout.shards], dtype=np.int64)

    @classmethod
    def open(cls, folder: Path) -> ShardedImages:
        """The images of a folder; from a store of objects where remote.json says so.

        Raises:
            DataError: it holds no index, or a shard of the index is neither there nor in a store,
                or has another size.
        """
        layout = load_index(folder)
        missing = [shard for shard in layout.shards if not (folder / shard.file).exists()]
        data = folder.parents[1]
        remote = RemoteShardsSettings.load(data) if missing else None
        if remote is not None:
            return cls(layout, RemoteShards(remote, folder.relative_to(data).as_posix(), layout))
        for shard in layout.shards:
            path = folder / shard.file
            if shard in missing or path.stat().st_size != layout.size(shard):
                raise DataError(
                    f"{path} is {'missing' if shard in missing else 'cut off'}.",
                    "Run `dvc checkout`, or `dvc repro prepare`.",
                )
        return cls(layout, MappedShards(folder, layout))

    def save(self, folder: Path) -> None:
        """Write the same shards into `folder`, unless they are those that lie there."""
        if (folder / INDEX).is_file() and load_index(folder) == self._layout:
            return
        rows = max((shard.rows for shard in self._layout.shards), default=1)
        writer = ShardWriter(folder, self._layout.shape, rows * self._layout.row_bytes)
        for image in self:
            writer.append(image)
        writer.close()

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, S, S, 3)."""
        return (len(self), *self._layout.shape)

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """uint8."""
        return np.dtype(np.uint8)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        for start in range(0, len(self), _ROWS_AT_ONCE):
            yield from self[start : start + _ROWS_AT_ONCE]

    def __array__(
        self, dtype: np.dtype[Any] | None = None, copy: bool | None = None
    ) -> NDArray[Any]:
        if copy is False:
            raise ValueError("images in shards are no array without being copied")
        return np.asarray(self[:], dtype)

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        """One image (S, S, 3) for a number; several (K, S, S, 3) for a slice or an array."""
        if isinstance(key, int | np.integer):
            return cast(NDArray[np.uint8], self._take(self._numbers([int(key)]))[0])
        if isinstance(key, tuple):
            return self[key[0]][(slice(None), *key[1:])] if key else self[:]
        if isinstance(key, slice):
            return self._take(np.arange(len(self))[key])
        return self._take(self._numbers(key))

    def _numbers(self, key: ArrayLike) -> NDArray[np.int64]:
        rows = np.asarray(key)
        if rows.dtype == np.bool_:
            if rows.shape != (len(self),):
                raise IndexError(f"a mask of shape {rows.shape} for {len(self)} images")
            return np.flatnonzero(rows)
        numbers = rows.astype(np.int64)
        outside = (numbers < -len(self)) | (numbers >= len(self))
        if outside.any():
            raise IndexError(f"image {numbers[outside][0]} of {len(self)}")
        return numbers % max(1, len(self))

    def _take(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        homes = np.searchsorted(self._ends, rows, side="right")
        firsts = np.concatenate([[0], self._ends])[homes]
        return self._files.take(homes, rows - firsts)


def check_shards(folder: Path) -> None:
    """Compare the shards that lie in `folder` with its index.

    Raises:
        IntegrityError: one of them has another SHA-256.
    """
    for shard in load_index(folder).shards:
        path = folder / shard.file
        if path.exists() and sha256(path) != shard.sha256:
            raise IntegrityError(f"{path} is not what its index says.", "Run `dvc checkout`.")

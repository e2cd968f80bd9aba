"""Shards in a store of objects: images are fetched by ranges of bytes, through fsspec.

The folder of the prepared data has the labels and the indices of the shards, and beside its
splits remote.json, which says where the shards themselves are:

    {"url": "s3://faces/recognition", "options": {"endpoint_url": "https://…"}, "cache_mb": 256}

The images of a batch that are not in the cache are fetched at once, so that a batch waits for about
one answer and not for as many as it has images. What a range holds is not checked against the
SHA-256 of its shard, which is of the whole.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from facemodels.data.shard_files import Layout
from facemodels.errors import DataError
from facemodels.params import Count, Frozen

REMOTE = "remote.json"
_BLOCK = 64 << 10  # bytes that are fetched at least, where a shard has so many


class RemoteShardsSettings(Frozen):
    """What remote.json says.

    Attributes:
        url: of the folder that prepare wrote, in a store that fsspec knows: s3://, gs://, https://.
        options: of fsspec's file system of that store.
        cache_mb: the most of the images that a process keeps in memory.
    """

    url: Annotated[str, Field(min_length=1)]
    options: dict[str, Any] = Field(default_factory=dict)
    cache_mb: Count = 256

    @classmethod
    def load(cls, data: Path) -> RemoteShardsSettings | None:
        """Read remote.json of prepared data; None if there is none.

        Raises:
            DataError: it does not fit.
        """
        path = data / REMOTE
        if not path.is_file():
            return None
        try:
            return cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise DataError(f"{path} does not fit: {error}.", "See docs/datasets.md.") from error


class RemoteShards:
    """Rows of shards of one folder of a store."""

    def __init__(self, settings: RemoteShardsSettings, folder: str, layout: Layout) -> None:
        """Connect to nothing yet.

        Args:
            settings: which store.
            folder: the folder of the images below its URL, `train/arcface112`.
            layout: what their index says.
        """
        self._settings, self._layout = settings, layout
        self._url = f"{settings.url.rstrip('/')}/{folder}"
        self._rows_a_block = max(1, _BLOCK // layout.row_bytes)
        block = self._rows_a_block * layout.row_bytes
        self._most = max(1, settings.cache_mb * 10**6 // block)
        self._cache: OrderedDict[tuple[int, int], NDArray[np.uint8]] = OrderedDict()
        self._connected: tuple[int, Any, str] | None = None

    def take(self, shards: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Images uint8 (K, S, S, 3), as a copy; see `ShardFiles`.

        Raises:
            DataError: the store does not give them.
        """
        places = list(zip(shards.tolist(), (rows // self._rows_a_block).tolist(), strict=True))
        found = {place: self._cache[place] for place in places if place in self._cache}
        found |= self._fetched(sorted(set(places) - found.keys()))
        for place in places:
            self._cache[place] = found[place]
            self._cache.move_to_end(place)
        while len(self._cache) > self._most:
            self._cache.popitem(last=False)
        images = np.empty((len(rows), *self._layout.shape), np.uint8)
        for number, (place, row) in enumerate(zip(places, rows, strict=True)):
            images[number] = found[place][row % self._rows_a_block]
        return images

    def _fetched(self, places: list[tuple[int, int]]) -> dict[tuple[int, int], NDArray[np.uint8]]:
        """The blocks of rows at these places, fetched together."""
        if not places:
            return {}
        layout = self._layout
        system, root = self._file_system()
        first = [block * self._rows_a_block for _, block in places]
        counts = [
            min(self._rows_a_block, layout.shards[shard].rows - row)
            for (shard, _), row in zip(places, first, strict=True)
        ]
        starts = [layout.offset + row * layout.row_bytes for row in first]
        ends = [s + n * layout.row_bytes for s, n in zip(starts, counts, strict=True)]
        paths = [f"{root}/{layout.shards[shard].file}" for shard, _ in places]
        try:
            parts = system.cat_ranges(paths, starts, ends, on_error="raise")
            blocks = [
                np.frombuffer(part, np.uint8).reshape(count, *layout.shape)
                for part, count in zip(parts, counts, strict=True)
            ]
        except (OSError, ValueError) as error:
            raise DataError(
                f"{self._url} does not give the images that its index names: {error}.",
                f"Copy the shards there, or mend {REMOTE}.",
            ) from error
        return dict(zip(places, blocks, strict=True))

    def _file_system(self) -> tuple[Any, str]:
        """The file system of this process: connections do not survive a fork."""
        if self._connected is None or self._connected[0] != os.getpid():
            from fsspec.core import url_to_fs

            system, root = url_to_fs(self._url, **self._settings.options)
            self._connected = (os.getpid(), system, root)
        return self._connected[1], self._connected[2]

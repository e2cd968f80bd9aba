from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest

from facemodels.data.image_places import ImagesInShards
from facemodels.data.shards import ShardedImages
from facemodels.errors import DataError, IntegrityError
from facemodels.pipeline.train import data_digest

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 96, 96, 3), np.uint8)  # 27,648 bytes each
NAME = Path("train", "arcface112")
URL = "memory://faces/recognition"


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """Prepared data with its shards."""
    rows = ImagesInShards(tmp_path / "local", 300_000).rows(*NAME.parts, most=40, size=96)
    for image in IMAGES:
        rows.append(image)
    rows.close()
    return tmp_path / "local"


@pytest.fixture
def remote(local: Path, tmp_path: Path) -> Iterator[Path]:
    """The same with its shards in a store."""
    store = fsspec.filesystem("memory")
    store.put(str(local / "train"), "/faces/recognition/train", recursive=True)
    folder = tmp_path / "remote"
    shutil.copytree(local, folder, ignore=shutil.ignore_patterns("*.npy"))
    (folder / "remote.json").write_text(json.dumps({"url": URL, "cache_mb": 1}))
    yield folder
    store.rm("/faces", recursive=True)


class Asked:
    """What was asked of the store."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ranges: list[int] = []
        real = type(fsspec.filesystem("memory")).cat_ranges

        def cat_ranges(store, paths, starts, ends, **kwargs):
            self.ranges.append(len(paths))
            self.bytes = sum(e - s for s, e in zip(starts, ends, strict=True))
            return real(store, paths, starts, ends, **kwargs)

        monkeypatch.setattr(type(fsspec.filesystem("memory")), "cat_ranges", cat_ranges)


def test_images_in_a_store_are_fetched_by_their_ranges_and_a_batch_at_once(
    remote: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(monkeypatch)
    images = ShardedImages.open(remote / NAME)
    assert len(images) == 40
    assert asked.ranges == []  # the index says it
    rows = np.array([39, 0, 17, 16, 0])
    np.testing.assert_array_equal(images[rows], IMAGES[rows])
    assert asked.ranges == [3]  # two images to a block of 64 KiB
    assert asked.bytes <= 3 * 2 * IMAGES[0].nbytes
    np.testing.assert_array_equal(images[rows[::-1]], IMAGES[rows[::-1]])
    assert asked.ranges == [3]  # out of the cache
    np.testing.assert_array_equal(images[:], IMAGES)


def test_the_cache_holds_no_more_than_it_may(remote: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(monkeypatch)
    images = ShardedImages.open(remote / NAME)
    images[np.arange(0, 36)]  # 18 blocks are all that fit into 1 MB
    images[np.arange(18, 36)]
    assert asked.ranges == [18]
    images[36:40]  # the blocks of 0 and 2 are the longest unused
    images[np.array([4, 0, 2])]
    assert asked.ranges == [18, 2, 2]


def test_a_store_without_a_shard_and_a_folder_without_a_store_are_told(remote: Path) -> None:
    store = fsspec.filesystem("memory")
    store.rm("/faces/recognition/train/arcface112/00001.npy")
    images = ShardedImages.open(remote / NAME)
    with pytest.raises(DataError, match="does not give the images"):
        images[:]
    (remote / "remote.json").write_text("{}")
    with pytest.raises(DataError, match=r"remote\.json does not fit"):
        ShardedImages.open(remote / NAME)
    (remote / "remote.json").unlink()
    with pytest.raises(DataError, match=r"00000\.npy is missing"):
        ShardedImages.open(remote / NAME)


def test_data_has_one_digest_wherever_its_shards_lie_and_a_changed_one_is_refused(
    local: Path, remote: Path
) -> None:
    assert data_digest(local) == data_digest(remote)
    shard = local / NAME / "00001.npy"
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"00001\.npy is not what its index says"):
        data_digest(local)

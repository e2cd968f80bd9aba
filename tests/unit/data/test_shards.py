from __future__ import annotations

import tracemalloc
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.data.test_real import people_in

from facemodels.data.datasets import recognised
from facemodels.data.executors import executor_of
from facemodels.data.image_places import ImagesInShards
from facemodels.data.sample.generate import detection_split, recognition_split
from facemodels.data.shards import INDEX, ShardedImages, ShardWriter
from facemodels.data.splits import DetectionSplit, RecognitionSplit, image_names
from facemodels.errors import DataError
from facemodels.files import sha256_tree
from facemodels.pipeline.prepare import prepare

SIDE = 4
IMAGES = np.random.default_rng(0).integers(0, 256, (23, SIDE, SIDE, 3), np.uint8)


def write(folder: Path, images: np.ndarray = IMAGES, *, rows: int = 5) -> ShardedImages:
    writer = ShardWriter(folder, (SIDE, SIDE, 3), rows * SIDE * SIDE * 3 + 1)
    for image in images:
        writer.append(image)
    return writer.close()


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> ShardedImages:
    return write(tmp_path_factory.mktemp("shards"))


KEYS = st.one_of(
    st.integers(-len(IMAGES), len(IMAGES) - 1),
    st.slices(len(IMAGES)),
    st.lists(st.integers(-len(IMAGES), len(IMAGES) - 1), max_size=40).map(
        lambda rows: np.array(rows, np.int64)
    ),
    st.lists(st.booleans(), min_size=len(IMAGES), max_size=len(IMAGES)).map(np.array),
    st.just((slice(None), slice(None), slice(None, None, -1))),
)


@settings(max_examples=100, deadline=None)
@given(key=KEYS)
def test_shards_are_indexed_like_the_array_that_they_stand_for(
    sharded: ShardedImages, key: Any
) -> None:
    np.testing.assert_array_equal(sharded[key], IMAGES[key])


def test_shards_are_iterated_counted_and_copied_like_an_array(sharded: ShardedImages) -> None:
    assert (len(sharded), sharded.shape, sharded.dtype) == (23, IMAGES.shape, IMAGES.dtype)
    np.testing.assert_array_equal(np.stack(list(sharded)), IMAGES)
    np.testing.assert_array_equal(np.concatenate([sharded, sharded]), np.tile(IMAGES, (2, 1, 1, 1)))
    for outside in (23, -24, np.array([0, 23])):
        with pytest.raises(IndexError, match="of 23"):
            sharded[outside]


def test_no_shard_is_longer_than_asked_for_and_equal_images_give_equal_bytes(
    tmp_path: Path,
) -> None:
    write(tmp_path / "a")
    write(tmp_path / "b", IMAGES[:3])
    write(tmp_path / "b")  # over what lies there
    assert sha256_tree(tmp_path / "a") == sha256_tree(tmp_path / "b")
    shards = sorted((tmp_path / "a").glob("*.npy"))
    assert [len(np.load(path)) for path in shards] == [5, 5, 5, 5, 3]


def test_a_changed_image_changes_its_own_shard_alone(tmp_path: Path) -> None:
    changed = IMAGES.copy()
    changed[7] = 0
    write(tmp_path / "a")
    write(tmp_path / "b", changed)
    differing = [
        path.name
        for path in sorted((tmp_path / "a").glob("*.npy"))
        if path.read_bytes() != (tmp_path / "b" / path.name).read_bytes()
    ]
    assert differing == ["00001.npy"]


@pytest.mark.parametrize("harm", ["missing", "cut", "no index", "not an index"])
def test_shards_that_are_not_whole_are_refused_when_they_are_opened(
    tmp_path: Path, harm: str
) -> None:
    write(tmp_path)
    shard = tmp_path / "00002.npy"
    if harm == "missing":
        shard.unlink()
    elif harm == "cut":
        shard.write_bytes(shard.read_bytes()[:-1])
    elif harm == "no index":
        (tmp_path / INDEX).unlink()
    else:
        (tmp_path / INDEX).write_text("[]")
    with pytest.raises(DataError, match=r"00002\.npy|index"):
        ShardedImages.open(tmp_path)


def test_a_process_lets_go_of_what_it_has_read(
    sharded: ShardedImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facemodels.data.shard_files._HELD", 1)
    np.testing.assert_array_equal(np.stack([sharded[row] for row in range(23)]), IMAGES)


def test_generated_splits_are_the_same_in_shards(tmp_path: Path) -> None:
    place = ImagesInShards(tmp_path, 30_000)
    drawn = {"seed": 1, "image_size": 64, "workers": 1}
    faces = {"identities": 4, "images_per_identity": 2, "folds": 2, "pairs_per_fold": 1}
    crops = ("arcface112", "dlib150")
    for at in (place, None):
        placed = {} if at is None else {"place": at}
        folder = tmp_path / ("memory" if at is None else "")
        recognition_split("train", **drawn, **faces, crops=crops, **placed).save(folder / "train")
        detection_split("val", scenes=3, **drawn, **placed).save(folder / "val")
    assert image_names(tmp_path / "train") == list(crops)
    for crop in crops:
        np.testing.assert_array_equal(
            RecognitionSplit.load(tmp_path / "train", crop).images,
            RecognitionSplit.load(tmp_path / "memory" / "train", crop).images,
        )
    ours, theirs = (
        DetectionSplit.load(folder / "val") for folder in (tmp_path, tmp_path / "memory")
    )
    np.testing.assert_array_equal(ours.images, theirs.images)
    np.testing.assert_array_equal(ours.boxes, theirs.boxes)


def test_real_faces_are_prepared_the_same_in_shards(tmp_path: Path) -> None:
    people_in(tmp_path / "people", 24, 2)
    found = recognised(tmp_path / "people", "recognition")
    for storage in ("files", "shards"):
        given = found.settings.model_copy(update={"storage": storage})
        prepare(type(found)(found.kind, given), tmp_path / storage, None, tmp_path / "sheet.png")
    for split in ("train", "val", "test"):
        ours, theirs = (RecognitionSplit.load(tmp_path / s / split) for s in ("shards", "files"))
        assert isinstance(ours.images, ShardedImages)
        np.testing.assert_array_equal(ours.images, theirs.images)
        np.testing.assert_array_equal(ours.identities, theirs.identities)


def test_a_split_that_is_saved_in_the_other_form_leaves_one_of_them(tmp_path: Path) -> None:
    drawn = {"seed": 1, "image_size": 32, "workers": 1, "scenes": 2}
    detection_split("val", **drawn).save(tmp_path / "val")
    detection_split("val", **drawn, place=ImagesInShards(tmp_path, 10**6)).save(tmp_path / "val")
    assert not (tmp_path / "val" / "images.npy").exists()
    detection_split("val", **drawn).save(tmp_path / "val")
    assert not (tmp_path / "val" / "images").exists()


def test_neither_writing_nor_reading_holds_more_than_a_shard(tmp_path: Path) -> None:
    """20,000 images of 768 bytes, 15 MB; `python -m benchmarks.shards` takes a million."""
    count, side = 20_000, 16
    tracemalloc.start()
    try:
        rows = ImagesInShards(tmp_path, 250_000).rows("train", "images", most=count, size=side)
        with closing(executor_of(1).in_order(_noise, range(count), count)) as images:
            for image in images:
                rows.append(image)
        kept = rows.close()
        for start in range(0, count, 50):
            kept[np.arange(start, start + 50) * 7919 % count]
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 3_000_000
    np.testing.assert_array_equal(kept[4321], _noise(4321))


def _noise(number: int) -> np.ndarray:
    return np.full((16, 16, 3), number % 251, np.uint8)

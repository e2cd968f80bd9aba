from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facemodels.data.datasets import Dataset, dataset_of
from facemodels.data.splits import DetectionSplit, RecognitionSplit, group_names
from facemodels.errors import DataError
from facemodels.names import TASKS
from facemodels.params import Data, DatasetParams
from facemodels.pipeline.prepare import prepare

SAMPLE = DatasetParams(reader="sample", source="")


def dataset(task: str, **keys: object) -> Dataset:
    """The dataset that these keys of params.yaml name."""
    tasks = dict.fromkeys(TASKS, SAMPLE) | {task: DatasetParams(**keys)}
    return dataset_of(Data(**tasks), task)


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    root = tmp_path / "raw"
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(20):
        image = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
        Image.fromarray(image).save(root / f"images/{i:02}.png")
        (root / f"labels/{i:02}.txt").write_text("0 0.5 0.5 0.25 0.5\n")
    return root


def _prepare(scenes: Path, tmp_path: Path) -> dict:
    yolo = dataset(
        "detection", reader="yolo", source=str(scenes), annotations="labels", image_size=64,
        seed=1, val_share=0.2, test_share=0.2, allowed_broken=0.2,
    )  # fmt: skip
    prepare(yolo, tmp_path / "out", tmp_path / "report.json", tmp_path / "sheet.png")
    return json.loads((tmp_path / "report.json").read_text())


def test_a_broken_image_is_listed_with_path_and_reason_and_left_out(scenes, tmp_path) -> None:
    whole = (scenes / "images/03.png").read_bytes()
    (scenes / "images/03.png").write_bytes(whole[: len(whole) // 2])
    (scenes / "labels/07.txt").write_text("0 0.5 oops 0.25 0.5\n")
    report = _prepare(scenes, tmp_path)
    paths = {problem["path"]: problem["reason"] for problem in report["problems"]}
    assert set(paths) == {"images/03.png", "labels/07.txt"}
    assert all(paths.values())
    assert sum(split["images"] for split in report["splits"].values()) == 18


def test_more_broken_than_allowed_fails_and_still_leaves_the_list(scenes, tmp_path) -> None:
    for i in range(6):
        (scenes / f"images/{i:02}.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="6"):
        _prepare(scenes, tmp_path)
    assert len(json.loads((tmp_path / "report.json").read_text())["problems"]) == 6
    assert not (tmp_path / "out").exists()


def test_the_report_and_the_sheet_tell_what_was_prepared(scenes, tmp_path) -> None:
    report = _prepare(scenes, tmp_path)
    assert report["problems"] == []
    split = DetectionSplit.load(tmp_path / "out/train")
    assert report["splits"]["train"]["faces"] == len(split.boxes) == len(split)
    assert np.asarray(Image.open(tmp_path / "sheet.png")).ndim == 3
    assert str(tmp_path) not in (tmp_path / "report.json").read_text()


def test_the_sample_is_the_same_bytes_on_every_run(tmp_path: Path) -> None:
    data = dataset(
        "detection", reader="sample", source="", image_size=64, seed=1, train=3, val=2, test=2
    )
    digests = []
    for name in ("a", "b"):
        prepare(data, tmp_path / name, tmp_path / f"{name}.json", None)
        digests.append(json.loads((tmp_path / f"{name}.json").read_text())["digest"])
    assert digests[0] == digests[1]
    assert group_names(tmp_path / "a") == ("light", "medium", "dark")


def _people(root: Path, people: int, images: int) -> None:
    rng = np.random.default_rng(1)
    for person in range(people):
        for image in range(1, images + 1):
            path = root / f"P{person}" / f"P{person}_{image:04}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path, quality=95)


def test_identity_folders_without_lists_become_disjoint_splits(tmp_path: Path) -> None:
    _people(tmp_path / "raw", people=60, images=3)
    data = dataset(
        "recognition", reader="folders", source=str(tmp_path / "raw"), crop_fraction=1.0,
        min_images=2, seed=1, val_share=0.3, test_share=0.3, folds=2, pairs_per_fold=4,
        allowed_broken=0.0,
    )  # fmt: skip
    prepare(data, tmp_path / "out", None, None)
    people = [
        set(RecognitionSplit.load(tmp_path / "out" / name).identities)
        for name in ("train", "val", "test")
    ]
    assert not people[0] & people[1]
    assert not (people[0] | people[1]) & people[2]


def test_people_seen_in_training_are_told_apart_in_the_test_pairs(tmp_path: Path) -> None:
    root = tmp_path / "raw"
    _people(root / "images", people=8, images=3)
    (root / "train.txt").write_text("4\n" + "".join(f"P{i}\t3\n" for i in range(4)))
    (root / "val.txt").write_text("1\nP6\t1\t2\nP6\t1\tP7\t1\n")
    folds = "".join(
        f"P{a}\t1\t2\nP{b}\t1\t2\nP{a}\t1\tP{c}\t1\nP{b}\t1\tP{d}\t1\n"
        for a, b, c, d in ((0, 4, 1, 5), (1, 5, 2, 4))
    )
    (root / "pairs.txt").write_text("2\t2\n" + folds)
    data = dataset(
        "recognition", reader="lfw", source=str(root), images="images", train_people="train.txt",
        val_pairs="val.txt", test_pairs="pairs.txt", crop_fraction=1.0,
        min_images=1, disjoint=False, allowed_broken=0.0,
    )  # fmt: skip
    prepare(data, tmp_path / "out", tmp_path / "r.json", None)
    train, test = (RecognitionSplit.load(tmp_path / "out" / n) for n in ("train", "test"))
    seen = np.isin(test.identities, train.identities)
    assert seen.any()
    assert not seen.all()
    assert np.array_equal(test.groups, np.where(seen, 0, 1))
    assert group_names(tmp_path / "out") == ("people seen in training", "people never seen")
    assert json.loads((tmp_path / "r.json").read_text())["notes"]["overlap"]["train_test"] > 0

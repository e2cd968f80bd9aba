from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facemodels.data.sample import generate
from facemodels.data.splits import RecognitionSplit
from facemodels.errors import DataError, InputError
from facemodels.files import list_files, sha256_tree
from facemodels.imaging import decode
from facemodels.monitoring.probes import golden_set, load, make

COUNTS = {"recognition": 6, "detection": 4, "landmarks": 6}


def people(split: str) -> RecognitionSplit:
    return generate.recognition_split(
        split, seed=3, identities=6, images_per_identity=3, image_size=48, folds=1,
        pairs_per_fold=18, workers=1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("root")
    data = made / "data/prepared"
    for split in ("train", "test"):
        people(split).save(data / "recognition" / split)
        generate.detection_split(split, seed=3, scenes=5, image_size=96, workers=1).save(
            data / "detection" / split
        )
        generate.landmark_split(split, seed=3, faces=9, image_size=64, workers=1).save(
            data / "landmarks" / split
        )
    return made


@pytest.mark.parametrize("task", COUNTS)
def test_the_same_choice_gives_the_same_bytes_and_another_seed_others(
    root: Path, tmp_path: Path, task: str
) -> None:
    folders = [tmp_path / name for name in ("one", "two", "three")]
    for folder, seed in zip(folders, (1, 1, 2), strict=True):
        probes = make(root, task, folder, count=COUNTS[task], seed=seed)
        assert len(probes) == COUNTS[task]
        assert probes.digest == load(folder).digest
    one, two, three = map(sha256_tree, folders)
    assert one == two != three


def test_pairs_are_half_of_one_person_and_spread_over_the_groups(
    root: Path, tmp_path: Path
) -> None:
    probes = make(root, "recognition", tmp_path, count=12)
    assert sum(pair.same for pair in probes.probes) == 6
    test = people("test")
    nearest = _owners(probes, test.images)
    for pair in probes.probes:
        one, other = (test.identities[nearest[name]] for name in pair.images)
        assert (one == other) == pair.same
    for kind in (True, False):
        groups = [test.groups[nearest[p.images[0]]] for p in probes.probes if p.same == kind]
        assert sorted(groups) == [0, 0, 1, 1, 2, 2]


def _owners(probes: golden_set.GoldenSet, images: np.ndarray) -> dict[str, int]:
    """Which image of the split each file shows: JPEG changes pixels a little."""
    flat = images.reshape(len(images), -1).astype(np.float32)
    owners = {}
    for name, data in probes.images.items():
        distance = np.abs(flat - decode(data).reshape(-1).astype(np.float32)).mean(axis=1)
        owners[name] = int(np.argmin(distance))
        assert distance.min() < 12
    return owners


@pytest.mark.parametrize("task", ["detection", "landmarks"])
def test_labels_are_those_of_the_test_split(root: Path, tmp_path: Path, task: str) -> None:
    probes = make(root, task, tmp_path, count=4)
    if task == "detection":
        split = generate.detection_split("test", seed=3, scenes=5, image_size=96, workers=1)
    else:
        split = generate.landmark_split("test", seed=3, faces=9, image_size=64, workers=1)
    owners = _owners(probes, split.images)
    assert len(set(owners.values())) == 4
    for probe in probes.probes:
        row = owners[probe.image]
        if task == "detection":
            np.testing.assert_allclose(probe.boxes, split.boxes_of(row), atol=0.01)
        else:
            np.testing.assert_allclose(probe.box, split.boxes[row], atol=0.01)
            np.testing.assert_allclose(probe.points, split.points[row], atol=0.01)


def test_people_that_were_trained_on_are_left_out(root: Path, tmp_path: Path) -> None:
    data = tmp_path / "data/prepared/recognition"
    test, train = people("test"), people("train")
    known = np.unique(test.identities)[:3]
    test.save(data / "test")
    replace(train, identities=np.resize(known, len(train)).astype(np.int32)).save(data / "train")
    probes = make(tmp_path, "recognition", tmp_path / "set", count=8)
    shown = {test.identities[row] for row in _owners(probes, test.images).values()}
    assert shown
    assert not shown & set(known)
    with pytest.raises(DataError, match="of the 40 that are wanted"):
        make(tmp_path, "recognition", tmp_path / "set", count=80)


def test_made_again_nothing_of_the_old_set_is_left(root: Path, tmp_path: Path) -> None:
    make(root, "landmarks", tmp_path, count=8, seed=1)
    (tmp_path / "notes.txt").write_text("mine")
    probes = make(root, "landmarks", tmp_path, count=3, seed=2)
    assert list_files(tmp_path) == sorted([*probes.images, golden_set.FILE, "notes.txt"])


def test_a_set_of_ones_own_is_not_overwritten(root: Path, tmp_path: Path) -> None:
    probes = make(root, "detection", tmp_path, count=3)
    path = tmp_path / golden_set.FILE
    path.write_text(path.read_text().replace(probes.source, "labelled by hand"))
    for text in (path.read_text(), "{"):
        path.write_text(text)
        before = sha256_tree(tmp_path)
        with pytest.raises(InputError, match="Choose another folder"):
            make(root, "detection", tmp_path, count=3)
        assert sha256_tree(tmp_path) == before


@pytest.mark.parametrize(
    ("task", "count", "words"),
    [("emotion", 4, "no task"), ("recognition", 5, "even"), ("detection", 1, "count of 1"),
     ("landmarks", 5000, "count of 5000")],
)  # fmt: skip
def test_what_cannot_be_made_is_refused(
    root: Path, tmp_path: Path, task: str, count: int, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        make(root, task, tmp_path / "set", count=count)
    assert not (tmp_path / "set").exists()


def test_unprepared_data_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="dvc repro prepare"):
        make(tmp_path, "detection", tmp_path / "set")


def test_faces_are_taken_in_the_crop_that_the_models_want(root: Path, tmp_path: Path) -> None:
    probes = make(root, "recognition", tmp_path / "a", count=6, crop="arcface112")
    assert all(decode(tmp_path / "a" / name).shape == (112, 112, 3) for pair in probes.probes
               for name in pair.images)  # fmt: skip
    with pytest.raises(DataError, match="not as dlib150"):
        make(root, "recognition", tmp_path / "b", count=6, crop="dlib150")
    with pytest.raises(InputError, match="no crops"):
        make(root, "detection", tmp_path / "c", count=4, crop="dlib150")

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facemodels.data.dataset_kind import FOR_TESTING, FOR_TRAINING
from facemodels.data.kinds.folders import FoldersKind
from facemodels.errors import DataError, InputError
from facemodels.pipeline.few_people import dealt
from facemodels.pipeline.layout import dataset
from facemodels.pipeline.trained_pictures import remember, seen_in_training


def people(root: Path, count: int, pictures: int = 3, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    for person in range(count):
        folder = root / f"person {person}"
        folder.mkdir(parents=True)
        for picture in range(pictures):
            rough = Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8))
            rough.resize((64, 64)).save(folder / f"{picture}.png")
    return root


@pytest.mark.parametrize(("testing", "count"), [(False, 6), (False, 8), (True, 8), (True, 11)])
def test_a_few_people_come_to_every_split(tmp_path: Path, testing: bool, count: int) -> None:
    root = people(tmp_path / "set", count)
    with dataset(root, "recognition", testing=testing) as data:
        splits = {n: np.load(data / n / "labels.npz") for n in ("train", "val", "test")}
        found = {name: len(np.unique(split["identities"])) for name, split in splits.items()}
    assert min(found["val"], found["test"]) >= (4 if testing else 2)
    assert testing or found["train"] >= 2
    assert len(np.unique(splits["test"]["folds"])) >= (2 if testing else 1)


def test_too_few_people_and_options_of_other_layouts_are_refused(tmp_path: Path) -> None:
    few = FoldersKind().recognise(people(tmp_path / "few", 5), FOR_TRAINING)
    assert few is not None
    with pytest.raises(DataError, match="5 people with two pictures or more, and 2 each"):
        dealt(few, testing=False)
    many = FoldersKind().recognise(people(tmp_path / "many", 60, pictures=2), FOR_TESTING)
    assert many is not None
    assert dealt(many, testing=True) == many
    reading = {"image_size": 3}
    with (
        pytest.raises(InputError, match="knows no image_size"),
        dataset(tmp_path / "few", "recognition", reading=reading),
    ):
        pass


def test_pictures_that_the_training_saw_are_found_in_what_it_is_tested_on(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    root, others = people(tmp_path / "set", 9), people(tmp_path / "others", 9, seed=1)
    with dataset(root, "recognition") as data:
        assert seen_in_training(weights, data) == 0  # nothing is known
        remember(data, weights)
        assert seen_in_training(weights, data) == 0  # its own val and test
    with dataset(root, "recognition", testing=True) as data:
        assert seen_in_training(weights, data) > 0.2
    with dataset(others, "recognition", testing=True) as data:
        assert seen_in_training(weights, data) == 0

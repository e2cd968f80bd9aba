"""Photos of people in identity folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facemodels.data.datasets import recognised
from facemodels.errors import DataError


@pytest.fixture
def people(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    for person in range(16):
        folder = tmp_path / f"Person {person}"
        folder.mkdir()
        for photo in range(1 if person == 3 else 3):
            pixels = rng.integers(0, 256, (60, 90 if photo else 120, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{photo}.png")
    return tmp_path


def test_people_are_dealt_to_splits_and_their_places_are_not_known(people: Path) -> None:
    read = recognised(people, "system", testing=True).read(workers=1)
    val, test = read.splits["val"], read.splits["test"]
    assert not set(val.person) & set(test.person)
    assert len(val) + len(test) + len(read.splits["train"]) == 15 * 3
    assert np.isnan(test.boxes).all()
    assert test.box_image.tolist() == list(range(len(test)))


def test_a_photo_keeps_its_pixels_where_no_other_is_larger(people: Path) -> None:
    read = recognised(people, "system", testing=True).read(workers=1)
    square = read.splits["test"].images[0]
    assert square.shape == (120, 120, 3)
    name = sorted(p.name for p in people.iterdir() if len(list(p.iterdir())) > 1)
    person = read.splits["test"].person[0]
    original = np.array(Image.open(people / name[person] / "0.png"))
    np.testing.assert_array_equal(square[30:90], original)


def test_a_person_with_one_photo_is_left_out(people: Path) -> None:
    splits = recognised(people, "system", testing=True).read(workers=1).splits
    everyone = {int(number) for split in splits.values() for number in split.person}
    assert len(everyone) == 15


def test_too_few_people_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "only"
    folder.mkdir()
    for photo in range(2):
        Image.new("RGB", (40, 40)).save(folder / f"{photo}.png")
    with pytest.raises(DataError, match="fewer than two people"):
        recognised(tmp_path, "system", testing=True).read(workers=1)

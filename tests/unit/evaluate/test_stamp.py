from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facemodels.data import splits
from facemodels.errors import InputError
from facemodels.evaluate.recognition import pair_list_digest
from facemodels.evaluate.stamp import (
    FACES,
    PARTS,
    differences,
    require_same,
    stamp,
)
from facemodels.files import sha256_tree, write_json


def of(folder: Path, **own: str) -> dict[str, str]:
    folder.mkdir(exist_ok=True)
    return dict(stamp(folder, evaluator="recognition 2", threshold="best", own=own))


def test_a_stamp_has_every_part_and_the_digest_that_prepare_reports(tmp_path: Path) -> None:
    write_json(tmp_path / "groups.json", ["north"])
    found = of(tmp_path, crop="arcface112")
    assert tuple(found) == PARTS
    assert found["data"] == f"sha256:{sha256_tree(tmp_path)}"
    assert (found["crop"], found["pairs"]) == ("arcface112", "")
    assert found["detector"] == ""


def test_what_found_the_prepared_faces_is_named_with_its_digest(tmp_path: Path) -> None:
    assert splits.FACES == FACES
    write_json(tmp_path / FACES, {"detector": "none: the exact points"})
    assert of(tmp_path)["detector"] == "none: the exact points"
    about = {"detector": "det-mtcnn-v1.0.0", "digest": "12ab", "choose": "centre"}
    write_json(tmp_path / FACES, about)
    assert of(tmp_path)["detector"] == "det-mtcnn-v1.0.0, choose centre, digest 12ab"


@pytest.mark.parametrize("part", PARTS)
def test_any_part_makes_stamps_differ_and_is_named(tmp_path: Path, part: str) -> None:
    one = of(tmp_path)
    other = {**one, part: "another"}
    (found,) = differences(one, other)
    assert found.startswith(f"{part}: ")
    assert found.endswith("→ another")
    assert differences(one, dict(one)) == ()


def test_a_missing_stamp_differs_as_a_whole(tmp_path: Path) -> None:
    one = of(tmp_path)
    assert differences(None, one) == ("the first has no stamp",)
    assert differences(one, {}) == ("the second has no stamp",)


@pytest.mark.parametrize("across_crops", [True, False])
@pytest.mark.parametrize("part", PARTS)
def test_figures_that_differ_in_any_part_are_refused_but_for_the_crop_where_it_is_asked_for(
    tmp_path: Path, part: str, across_crops: bool
) -> None:
    one = of(tmp_path, crop="arcface112")
    other = {**one, part: "another"}
    require_same(one, dict(one), ("a", "b"))
    if across_crops and part == "crop":
        require_same(one, other, ("a", "b"), across_crops=True)
        return
    with pytest.raises(InputError, match=rf"a and b cannot be set side by side: {part}: ") as error:
        require_same(one, other, ("a", "b"), across_crops=across_crops)
    assert ("--across-crops" in str(error.value.remedy)) == (part == "crop")


def test_a_pair_list_has_the_same_digest_whatever_its_integer_type() -> None:
    pairs, same = np.array([[0, 1], [1, 2]]), np.array([True, False])
    folds = np.array([0, 1], np.int8)
    digest = pair_list_digest(pairs.astype(np.int32), same, folds)
    assert pair_list_digest(pairs.astype(np.int64), same, folds) == digest
    assert pair_list_digest(pairs[::-1], same, folds) != digest
    assert pair_list_digest(pairs, ~same, folds) != digest
    assert pair_list_digest(pairs, same, folds[::-1]) != digest

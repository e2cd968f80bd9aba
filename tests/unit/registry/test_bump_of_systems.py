"""Which bump two systems ask for, measured from the photo on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.small_systems import detector, recogniser, small_system

from facemodels.cli.main import main
from facemodels.data.sample.generate import photo_split
from facemodels.data.splits import save_group_names
from facemodels.errors import RuleError
from facemodels.names import Version
from facemodels.package.load import Package, open_package
from facemodels.params import Compare
from facemodels.registry import semver
from facemodels.registry.bump import compare
from facemodels.registry.evidence import interface

SETTINGS = Compare(
    baselines={}, resamples=100, confidence=0.95, seed=1, threads=1, warmup=0, runs=2
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("members")


@pytest.fixture(scope="module")
def members(folder: Path) -> dict[str, Package]:
    return {
        "detection": detector(folder),
        "recognition": recogniser(folder),
    }


@pytest.fixture(scope="module")
def first(folder: Path, members: dict[str, Package]) -> Package:
    return small_system(folder / "faces-v1.0.0", "1.0.0", members)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    photos = tmp_path_factory.mktemp("photos")
    for name in ("val", "test"):
        photo_split(name, seed=1, people=16, photos=20, image_size=160, workers=1).save(
            photos / name
        )
    save_group_names(photos, ("light", "medium", "dark"))
    return photos


def test_a_system_whose_threshold_alone_changes_is_not_run_and_asks_for_a_patch(
    first: Package, tmp_path: Path
) -> None:
    shutil.copytree(first.folder, tmp_path / "same")
    found = compare(first, open_package(tmp_path / "same"), tmp_path / "no data", SETTINGS)
    assert found.ruling.level == "patch"
    assert found.evidence["accuracy"] == "same weights"


@pytest.mark.parametrize(("crop", "seed", "reason"), [
    ("facenet160", 0, "crop arcface112 → facenet160"),
    ("arcface112", 1, "embedding space"),
])  # fmt: skip
def test_another_crop_or_embedding_space_asks_for_major(
    folder: Path, first: Package, members: dict[str, Package], data: Path, tmp_path: Path,
    crop: str, seed: int, reason: str,
) -> None:  # fmt: skip
    other = recogniser(tmp_path, "2.0.0", crop=crop, seed=seed)
    second = small_system(tmp_path / "faces", "1.1.0", {**members, "recognition": other})
    found = compare(first, second, data, SETTINGS)
    assert found.ruling.level == "major"
    assert any(reason in line for line in found.ruling.reasons)
    with pytest.raises(RuleError, match="at least major is due"):
        semver.check(Version(1, 0, 0), Version(1, 1, 0), found.ruling, accept_regression="test")


@pytest.fixture(scope="module")
def blind(folder: Path, members: dict[str, Package]) -> Package:
    """The same recogniser behind a detector that finds nothing."""
    return small_system(folder / "faces-v0.9.0", "0.9.0", members, min_score=1.1)


def test_a_detector_that_finds_more_faces_is_better_from_the_photo_on_and_asks_for_minor(
    first: Package, blind: Package, data: Path
) -> None:
    found = compare(blind, first, data, SETTINGS)
    assert (found.ruling.level, found.ruling.regression) == ("minor", False)
    assert found.evidence["accuracy"]["metric"].startswith("fnmr_at_fmr")
    assert compare(first, blind, data, SETTINGS).ruling.regression


def test_compare_sets_two_systems_side_by_side(first: Package, blind: Package, data: Path) -> None:
    words = ("--model-a", blind.folder, "--model-b", first.folder, "--test-data", data)
    done = CliRunner().invoke(
        main, ["compare", *map(str, words), "--metrics", "accuracy", "--resamples", "50", "--json"]
    )
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["a"], told["b"], told["verdict"]) == (str(blind.id), str(first.id), "better")


def test_which_detector_finds_the_faces_is_no_part_of_the_interface(first: Package) -> None:
    assert interface(first) == {
        "crop": "arcface112", "input_shape": [0, 0, 3], "output_shape": [0, 21],
        "embedding_space": first.metadata["embedding_space"], "runtimes": ["members"],
    }  # fmt: skip

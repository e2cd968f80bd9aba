"""Which bump two systems ask for, measured from the photo on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from facemodels.cli.main import main
from facemodels.data.sample.generate import photo_split
from facemodels.data.splits import save_group_names
from facemodels.detection.mtcnn import AUTHORS, Mtcnn, networks
from facemodels.detection.mtcnn.authors import authors_weights
from facemodels.errors import RuleError
from facemodels.names import ModelId, Version
from facemodels.package.build import PackageContent, build
from facemodels.package.build_system import SystemContent, build_system
from facemodels.package.load import Package, open_package
from facemodels.params import Card, Compare
from facemodels.recognition.arcface import ArcFace
from facemodels.registry import semver
from facemodels.registry.bump import compare
from facemodels.registry.evidence import interface
from facemodels.system.calibration import Calibration
from facemodels.system.quality import QualityLimits
from facemodels.training.weights import save_state

SETTINGS = Compare(
    baselines={}, resamples=100, confidence=0.95, seed=1, threads=1, warmup=0, runs=2
)
CARD = Card(
    created_at="2026-01-02T03:04:05Z", author="Test", description="For a test.",
    changelog="First.", known_issues="None.", license="Apache-2.0", training_dataset="none",
    parent_version="",
)  # fmt: skip
CALIBRATION = Calibration((0.001, 0.01, 0.1), (0.6, 0.5, 0.3), 30_000, "a test")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("members")


def packaged(folder: Path, identity: str, model: Any, network: Any) -> Package:
    weights = folder / f"{identity}-weights" / "model.pt"
    weights.parent.mkdir()
    save_state(network.state_dict(), weights)
    content = PackageContent(ModelId.parse(identity), model, weights, {}, {"threshold": 0.7}, CARD)
    return open_package(build(content, folder / identity))


def detector(folder: Path, version: str) -> Package:
    mtcnn = Mtcnn.of({"factor": 0.709, "max_pixels": 2500000})
    found = networks.pretrained(authors_weights().path)
    found.keep(mtcnn.cascade_settings(AUTHORS))
    return packaged(folder, f"det-mtcnn-v{version}", mtcnn, found)


def recogniser(folder: Path, version: str, crop: str, seed: int = 0) -> Package:
    shape = {
        "backbone": "mobilefacenet", "image_size": 48, "embedding_size": 16, "dropout": 0.0,
        "crop": crop,
    }  # fmt: skip
    arcface = ArcFace.of(shape)
    torch.manual_seed(seed)
    return packaged(folder, f"rec-arcface-v{version}", arcface, arcface.build())


def made(
    folder: Path, version: str, members: Mapping[str, Package], min_score: float = 0.7
) -> Package:
    content = SystemContent(
        id=ModelId.parse(f"sys-faces-v{version}"), members=members, min_score=min_score, fmr=0.01,
        calibration=CALIBRATION, quality=QualityLimits(eyes=12), validation={}, words=CARD,
    )  # fmt: skip
    return open_package(build_system(content, folder / f"faces-v{version}"))


@pytest.fixture(scope="module")
def members(folder: Path) -> dict[str, Package]:
    return {
        "detection": detector(folder, "1.0.0"),
        "recognition": recogniser(folder, "1.0.0", "arcface112"),
    }


@pytest.fixture(scope="module")
def first(folder: Path, members: dict[str, Package]) -> Package:
    return made(folder, "1.0.0", members)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    photos = tmp_path_factory.mktemp("photos")
    for name in ("val", "test"):
        photo_split(name, seed=1, people=24, photos=30, image_size=160, workers=1).save(
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
    other = recogniser(tmp_path, "2.0.0", crop, seed)
    second = made(tmp_path, "1.1.0", {**members, "recognition": other})
    found = compare(first, second, data, SETTINGS)
    assert found.ruling.level == "major"
    assert any(reason in line for line in found.ruling.reasons)
    with pytest.raises(RuleError, match="at least major is due"):
        semver.check(Version(1, 0, 0), Version(1, 1, 0), found.ruling, accept_regression="test")


@pytest.fixture(scope="module")
def blind(folder: Path, members: dict[str, Package]) -> Package:
    """The same recogniser behind a detector that finds nothing."""
    return made(folder, "0.9.0", members, min_score=1.1)


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

"""Packages of members to a system, through the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner
from PIL import Image

from facemodels.cli.main import main
from facemodels.data.sample.generate import photo_split
from facemodels.data.splits import save_group_names
from facemodels.detection.mtcnn import AUTHORS, Mtcnn, networks
from facemodels.detection.mtcnn.authors import authors_weights
from facemodels.errors import InputError
from facemodels.names import ModelId
from facemodels.package.build import PackageContent, build
from facemodels.package.load import open_package
from facemodels.params import Card
from facemodels.pipeline.system import members_of
from facemodels.recognition.arcface import ArcFace
from facemodels.training.weights import save_state

CARD = Card(
    created_at="2026-01-02T03:04:05Z", author="Test", description="A member.", changelog="First.",
    known_issues="None.", license="MIT", training_dataset="none", parent_version="",
)  # fmt: skip


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("members")
    mtcnn = Mtcnn.of({"factor": 0.709, "max_pixels": 2500000})
    found = networks.pretrained(authors_weights().path)
    found.keep(mtcnn.cascade_settings(AUTHORS))
    shape = {"backbone": "mobilefacenet", "image_size": 48, "embedding_size": 16, "dropout": 0.0}
    arcface = ArcFace.of({**shape, "crop": "arcface112"})
    torch.manual_seed(0)
    made = {}
    for name, model, network in (
        ("det-mtcnn-v1.2.0", mtcnn, found),
        ("rec-arcface-v2.0.1", arcface, arcface.build()),
    ):
        weights = folder / model.name / "model.pt"
        weights.parent.mkdir()
        save_state(network.state_dict(), weights)
        content = PackageContent(
            ModelId.parse(name), model, weights, {}, {"threshold": 0.7}, CARD
        )  # fmt: skip
        made[model.task] = build(content, folder / name)
    return made


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name in ("val", "test"):
        made = photo_split(name, seed=1, people=10, photos=16, image_size=200, workers=1)
        made.save(folder / name)
    save_group_names(folder, ("light", "medium", "dark"))
    return folder


def run(members: dict[str, Path], *options: str, code: int = 0) -> str:
    every = [part for folder in members.values() for part in ("--member", str(folder))]
    done = CliRunner().invoke(
        main, ["bundle", *every, "--version", "1.0.0", "--fmr", "0.1", *options]
    )
    assert done.exit_code == code, done.output
    return done.stdout if code == 0 else done.output


def test_a_system_is_measured_from_the_photo_on_and_packaged(
    members: dict[str, Path], photos: Path, tmp_path: Path
) -> None:
    target = tmp_path / "faces-v1.0.0"
    told = json.loads(run(members, "--test-data", str(photos), "--output", str(target), "--json"))
    package = open_package(target)
    assert told["id"] == str(package.id) == "sys-faces-v1.0.0"
    assert told["license"] == package.metadata["license"] == "MIT"
    assert told["metrics"] == package.metadata["accuracy_metrics"]
    assert told["metrics"]["recall"] > 0.9
    assert package.metadata["created_at"] == CARD.created_at  # of the newest member: no clock
    assert package.config["fmr"] == 0.1
    assert package.metadata["stamp"]["evaluator"] == "system 1"


def test_the_same_photos_give_the_same_bytes(
    members: dict[str, Path], photos: Path, tmp_path: Path
) -> None:
    digests = set()
    for name in "ab":
        target = tmp_path / name / "faces-v1.0.0"
        run(members, "--test-data", str(photos), "--output", str(target))
        digests.add(open_package(target).digest)
    assert len(digests) == 1


def test_folders_of_photos_are_read_too(
    members: dict[str, Path], photos: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    scenes = photo_split("test", seed=2, people=1, photos=2, image_size=200, workers=1).images
    for person in range(48):
        folder = tmp_path / "people" / f"p{person}"
        folder.mkdir(parents=True)
        for photo, scene in enumerate(scenes):
            noisy = scene.astype(np.int16) + rng.integers(-5, 6, scene.shape)
            Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(folder / f"{photo}.png")
    told = json.loads(run(members, "--test-data", str(tmp_path / "people"), "--dry-run", "--json"))
    assert told["metrics"]["recall"] > 0.5
    assert told["path"] is None


def test_thresholds_of_other_photos_are_taken_where_they_are_of_the_same_recogniser(
    members: dict[str, Path], photos: Path, tmp_path: Path
) -> None:
    given = ("--test-data", str(photos))
    told = json.loads(run(members, *given, "--dry-run", "--json"))["calibration"]
    file = tmp_path / "calibration.yaml"
    raised = [min(1.0, value + 0.01) for value in told["thresholds"]]
    file.write_text(yaml.safe_dump({**told, "thresholds": raised, "source": "elsewhere"}))
    target = tmp_path / "faces-v1.0.0"
    text = run(members, *given, "--calibration", str(file), "--output", str(target), "--json")
    package = open_package(target)
    assert json.loads(text)["threshold"] == package.config["threshold"]  # figures are at it
    assert package.config["calibration"]["thresholds"] == raised
    assert package.metadata["threshold_source"] == "FMR 0.1: elsewhere"
    # Of the same embedding space, as a compatible one is.
    file.write_text(yaml.safe_dump({**told, "recogniser": "sha256:0123"}))
    assert "recogniser sha256:0123" in run(
        members, *given, "--calibration", str(file), "--dry-run", code=2
    )


def test_a_dry_run_writes_nothing(
    members: dict[str, Path], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = run(members, "--test-data", str(photos), "--dry-run")
    assert "Would write models/system/faces-v1.0.0" in text
    assert list(tmp_path.iterdir()) == []


def test_a_rate_that_the_photos_cannot_show_is_refused_with_nothing_written(
    members: dict[str, Path], photos: Path, tmp_path: Path
) -> None:
    target = tmp_path / "faces-v1.0.0"
    text = run(
        members, "--test-data", str(photos), "--fmr", "0.000001", "--output", str(target), code=2
    )
    assert "rule of three" in text
    assert not target.exists()


def test_members_that_make_no_system_are_named(members: dict[str, Path]) -> None:
    packages = [open_package(folder) for folder in members.values()]
    with pytest.raises(InputError, match="recognition"):
        members_of(packages[:1])
    with pytest.raises(InputError, match="one task"):
        members_of([*packages, packages[0]])

"""The package of a system, made of real packages of small models."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from facemodels.detection.mtcnn import AUTHORS, Mtcnn, networks
from facemodels.detection.mtcnn.authors import authors_weights
from facemodels.errors import InputError, IntegrityError
from facemodels.files import sha256_tree
from facemodels.imaging import decode
from facemodels.names import ModelId
from facemodels.package.build import PackageContent, build
from facemodels.package.build_system import SystemContent, build_system
from facemodels.package.load import Package, open_package
from facemodels.package.verify import verify, write_checksums
from facemodels.params import Card
from facemodels.recognition.arcface import ArcFace
from facemodels.system.calibration import Calibration
from facemodels.system.quality import QualityLimits
from facemodels.training.weights import save_state

ROOT = Path(__file__).resolve().parents[3]
CARD = Card(
    created_at="2026-01-02T03:04:05Z", author="Test", description="A test system.",
    changelog="First.", known_issues="None.", license="Apache-2.0", training_dataset="none",
    parent_version="",
)  # fmt: skip
CALIBRATION = Calibration((0.001, 0.01, 0.1), (0.6, 0.5, 0.3), 30_000, "a test")


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Package]:
    folder = tmp_path_factory.mktemp("members")
    mtcnn = Mtcnn.of({"factor": 0.709, "max_pixels": 2500000})
    found = networks.pretrained(authors_weights().path)
    found.keep(mtcnn.cascade_settings(AUTHORS))
    shape = {"backbone": "mobilefacenet", "image_size": 48, "embedding_size": 16, "dropout": 0.0}
    arcface = ArcFace.of(shape)
    torch.manual_seed(0)
    made = {}
    for model, network in ((mtcnn, found), (arcface, arcface.build())):
        weights = folder / model.name / "model.pt"
        weights.parent.mkdir()
        save_state(network.state_dict(), weights)
        name = {"mtcnn": "det-mtcnn-v1.2.0", "arcface": "rec-arcface-v2.0.1"}[model.name]
        licence = {"mtcnn": "MIT", "arcface": "Apache-2.0"}[model.name]
        content = PackageContent(
            ModelId.parse(name), model, weights, {}, {"threshold": 0.7},
            CARD.model_copy(update={"license": licence}),
        )  # fmt: skip
        made[model.task] = open_package(build(content, folder / name))
    return made


@pytest.fixture(scope="module")
def content(members: dict[str, Package]) -> SystemContent:
    return SystemContent(
        id=ModelId.parse("sys-faces-v1.0.0"), members=members, min_score=0.7, fmr=0.01,
        calibration=CALIBRATION,
        quality=QualityLimits(eyes=12), validation={"metrics": {"fnmr": 0.1}}, words=CARD,
    )  # fmt: skip


@pytest.fixture(scope="module")
def system(content: SystemContent, tmp_path_factory: pytest.TempPathFactory) -> Package:
    return open_package(build_system(content, tmp_path_factory.mktemp("s") / "faces-v1.0.0"))


def test_a_system_pins_its_members_and_states_its_threshold(
    system: Package, members: dict[str, Package]
) -> None:
    assert system.task == "system"
    assert system.config["threshold"] == 0.5
    assert {task: package.digest for task, package in system.members.items()} == {
        task: package.digest for task, package in members.items()
    }
    assert system.metadata["embedding_space"] == members["recognition"].metadata["embedding_space"]
    assert system.metadata["output_shape"] == [0, 5 + 16]
    card = (system.folder / "README.md").read_text()
    assert "det-mtcnn-v1.2.0" in card
    assert "FMR 0.01: a test" in card


def test_a_member_in_the_system_is_the_member_byte_for_byte(
    system: Package, members: dict[str, Package]
) -> None:
    for task, package in members.items():
        assert sha256_tree(system.folder / "members" / task) == sha256_tree(package.folder)


def test_its_faces_are_those_of_its_members(system: Package, members: dict[str, Package]) -> None:
    shared = ROOT.parent / "shared" / "data" / "lfw"
    photos = sorted(shared.rglob("*.jpg"))[:3]
    if not photos:
        pytest.skip("shared/data/lfw is not here")
    for photo in photos:
        image = decode(photo)
        faces = system.predictor().find(image)
        (found,) = members["detection"].predictor().detect([image])
        rows = np.flatnonzero(found.scores >= 0.7)
        assert len(faces) == len(rows) > 0
        alone = members["recognition"].predictor().embed([image], [found.points[rows[0]]])[0]
        assert alone.tobytes() == faces[0].embedding.tobytes()


def test_the_same_members_give_the_same_bytes(content: SystemContent, tmp_path: Path) -> None:
    one, other = (build_system(content, tmp_path / name / "faces-v1.0.0") for name in "ab")
    assert sha256_tree(one) == sha256_tree(other)


@pytest.mark.parametrize("file", ["model.pt", "checksums.sha256", "stranger.txt"])
def test_a_changed_or_strange_file_of_a_member_is_refused(
    system: Package, file: str, tmp_path: Path
) -> None:
    folder = shutil.copytree(system.folder, tmp_path / "faces-v1.0.0")
    with (folder / "members/recognition" / file).open("ab") as member:
        member.write(b" ")
    with pytest.raises(IntegrityError):
        verify(folder)


def test_another_version_of_a_member_is_refused_even_with_new_checksums(
    system: Package, tmp_path: Path
) -> None:
    folder = shutil.copytree(system.folder, tmp_path / "faces-v1.0.0")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["members"]["recognition"]["digest"] = f"sha256:{'0' * 64}"
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    write_checksums(folder)
    with pytest.raises(InputError, match="pins rec-arcface"):
        open_package(folder).predictor()


def test_a_file_beside_the_members_or_above_the_package_is_refused(
    system: Package, tmp_path: Path
) -> None:
    folder = shutil.copytree(system.folder, tmp_path / "faces-v1.0.0")
    (folder / "members/model.pt").write_bytes(b"x")
    write_checksums(folder)
    with pytest.raises(IntegrityError, match=r"members/model\.pt"):
        verify(folder)


def test_the_card_cannot_state_a_milder_licence(content: SystemContent, tmp_path: Path) -> None:
    mild = replace(content, words=CARD.model_copy(update={"license": "MIT"}))
    with pytest.raises(InputError, match=r"Apache-2\.0"):
        build_system(mild, tmp_path / "faces-v1.0.0")
    assert not (tmp_path / "faces-v1.0.0").exists()

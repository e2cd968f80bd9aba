"""What a training keeps of the package that it imitates."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from tests.unit.pipeline.test_face_finder import CARD

from facemodels.data.image_places import IN_MEMORY, ImagePlace, ImagesInShards
from facemodels.data.sample.generate import recognition_split
from facemodels.errors import InputError, IntegrityError
from facemodels.evaluate.compatibility import claims_space_of
from facemodels.names import ModelId
from facemodels.package.build import PackageContent, build
from facemodels.package.load import open_package
from facemodels.pipeline.package import package
from facemodels.pipeline.train import train
from facemodels.recognition.arcface import ArcFace
from facemodels.training.weights import save_state

NETWORK = ArcFace.of(
    {"backbone": "mobilefacenet", "image_size": 48, "embedding_size": 8, "dropout": 0.0}
)
TRAIN = {
    "seed": 1, "threads": 1, "device": "cpu", "mixed_precision": False, "steps": 1,
    "learning_rate": 0.01, "warmup_steps": 1, "final_learning_rate": 0.1, "weight_decay": 0.01,
    "clip_norm": 5.0, "ema_decay": 0.0, "validate_every": 1, "checkpoint_every": 1, "patience": 0,
    "batch_people": 3, "batch_images": 1, "loss": "distillation",
    "augmentation": {"flip": 0.5, "shift": 0, "zoom": 0, "brightness": 0, "contrast": 0, "tint": 0},
}  # fmt: skip


def draw(folder: Path, place: ImagePlace = IN_MEMORY) -> Path:
    for split in ("train", "val"):
        recognition_split(
            split, seed=1, identities=4, images_per_identity=2, image_size=48,
            folds=2, pairs_per_fold=3, workers=1, place=place,
        ).save(folder / split)  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher")
    torch.manual_seed(0)
    save_state(NETWORK.build().state_dict(), folder / "model.pt")
    model = ModelId.parse("rec-arcface-v1.2.3")
    content = PackageContent(model, NETWORK, folder / "model.pt", {}, {"threshold": 0.5}, CARD)
    return build(content, folder / "arcface-v1.2.3")


def imitate(package: Path, data: Path, folder: Path) -> dict:
    settings = {**TRAIN, "losses": {"distillation": {"teacher": str(package)}}}
    train(
        NETWORK, ArcFace.settings(settings), data=data, output=folder / "out",
        curves_folder=folder / "curves", checkpoints=folder / "checkpoints",
    )  # fmt: skip
    return json.loads((folder / "out" / "training.json").read_text())


def test_the_record_names_the_teacher_and_its_digest(
    teacher: Path, data: Path, tmp_path: Path
) -> None:
    digest = open_package(teacher).digest
    record = imitate(teacher, data, tmp_path)
    assert record["teacher"] == {"id": "rec-arcface-v1.2.3", "digest": f"sha256:{digest}"}


def test_a_training_that_keeps_a_space_makes_a_package_that_claims_it(
    teacher: Path, data: Path, tmp_path: Path
) -> None:
    old = open_package(teacher)
    settings = {**TRAIN, "loss": "arcface", "compatible_with": str(teacher)}
    train(
        NETWORK, ArcFace.settings(settings), data=data, output=tmp_path / "out",
        curves_folder=tmp_path / "curves", checkpoints=tmp_path / "checkpoints",
    )  # fmt: skip
    folder = package(
        weights=tmp_path / "out", model=ModelId.parse("rec-arcface-v1.3.0"), card=CARD,
        validation={}, output=tmp_path / "arcface-v1.3.0",
    )  # fmt: skip
    new = open_package(folder)
    assert new.metadata["embedding_space"] == old.metadata["embedding_space"]
    pin = {"id": "rec-arcface-v1.2.3", "digest": f"sha256:{old.digest}"}
    assert new.metadata["compatible_with"] == pin
    assert "compatible_with" not in old.metadata
    assert claims_space_of(old, new)
    assert "galleries of rec-arcface-v1.2.3" in (folder / "README.md").read_text()


def test_an_altered_teacher_is_refused_before_anything_is_trained(
    teacher: Path, data: Path, tmp_path: Path
) -> None:
    altered = Path(shutil.copytree(teacher, tmp_path / teacher.name))
    with (altered / "model.onnx").open("ab") as file:
        file.write(b"0")
    with pytest.raises(IntegrityError, match=r"model\.onnx"):
        imitate(altered, data, tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_teacher_that_is_not_there_is_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no-such-package"):
        imitate(tmp_path / "no-such-package", data, tmp_path)


def test_a_model_learns_the_same_from_shards(data: Path, tmp_path: Path) -> None:
    sharded = draw(tmp_path / "data", ImagesInShards(tmp_path / "data", 80_000))
    assert len(list((sharded / "train" / "arcface112").glob("*.npy"))) == 4
    settings = ArcFace.settings({**TRAIN, "loss": "arcface"})
    for name, source in (("files", data), ("shards", sharded)):
        train(
            NETWORK, settings, data=source, output=tmp_path / name,
            curves_folder=tmp_path / "curves" / name, checkpoints=tmp_path / "checkpoints",
            workers=1,
        )  # fmt: skip
    weights = [(tmp_path / name / "model.pt").read_bytes() for name in ("files", "shards")]
    assert weights[0] == weights[1]

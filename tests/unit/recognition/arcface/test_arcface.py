from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.bounded import bounded

from facemodels import params
from facemodels.architecture.contract import TrainJob
from facemodels.data.sample.generate import recognition_split
from facemodels.errors import ParamsError
from facemodels.models import architecture
from facemodels.pipeline.compose import compose
from facemodels.pipeline.train import train
from facemodels.recognition.arcface import ArcFace

ROOT = Path(__file__).resolve().parents[4]
BACKBONES = ["mobilefacenet", "iresnet18", "iresnet50", "resnet29"]
KEPT = ("mobilefacenet", "iresnet18", "resnet29")  # iresnet50 is iresnet18 with more of the same
HEADS = ["arcface", "cosface", "adaface", "magface", "softmax", "triplet"]
GENTLE = {"arcface": {"margin_rad": 0.1, "scale": 10}}  # learns within a few steps
TRAIN = {
    "seed": 1, "threads": 1, "device": "cpu", "mixed_precision": False, "steps": 3,
    "learning_rate": 0.01, "warmup_steps": 1, "final_learning_rate": 0.1, "weight_decay": 0.01,
    "clip_norm": 5.0, "ema_decay": 0.0, "validate_every": 3, "checkpoint_every": 1, "patience": 0,
    "batch_people": 3, "batch_images": 2, "loss": "arcface",
    "augmentation": {"flip": 0.5, "shift": 0, "zoom": 0, "brightness": 0, "contrast": 0, "tint": 0},
}  # fmt: skip


def model(backbone: str = "mobilefacenet", **changes: object) -> ArcFace:
    shape = {"backbone": backbone, "image_size": 48, "embedding_size": 16, "dropout": 0.0}
    return ArcFace.of({**shape, **changes})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for split in ("train", "val"):
        recognition_split(
            split, seed=1, identities=5, images_per_identity=2, image_size=48,
            folds=2, pairs_per_fold=3, workers=1,
        ).save(folder / split)  # fmt: skip
    return folder


class Killed(Exception):
    """Ends a training as a signal would, in mid-step."""


def trained(folder: Path, data: Path, *, killed_at: int | None = None, **changes: object) -> bytes:
    """The bytes of model.pt after a training, which is killed and called again if asked."""
    done: list[int] = []

    def advance(units: int) -> None:
        done.append(units)
        if sum(done) == killed_at:
            raise Killed

    def job(told) -> TrainJob:
        return TrainJob(
            data=data, output=folder, checkpoint=folder / "checkpoint.pt", advance=told,
            log=lambda record: None,
        )  # fmt: skip

    settings = ArcFace.settings({**TRAIN, **changes})
    if killed_at is not None:
        with pytest.raises(Killed):
            model().train(settings, job(advance))
    model().train(settings, job(lambda units: None))
    return (folder / "model.pt").read_bytes()


def test_it_is_found_by_its_name() -> None:
    assert architecture("recognition", "arcface") is ArcFace


@pytest.mark.parametrize(
    ("backbone", "size", "parameters"),
    # Table 1 of the paper (0.99 million, with 128 numbers); InsightFace's r18 and r50.
    [("mobilefacenet", 128, 0.99), ("iresnet18", 512, 24.0), ("iresnet50", 512, 43.6)],
)
def test_a_backbone_has_as_many_parameters_as_published(
    backbone: str, size: int, parameters: float
) -> None:
    network = model(backbone, image_size=112, embedding_size=size).build()
    count = sum(p.numel() for p in network.parameters())
    assert count / 1e6 == pytest.approx(parameters, rel=0.02)


def test_an_iresnet_has_the_names_of_insightfaces_checkpoints() -> None:
    names = model("iresnet50").build().state_dict().keys()
    assert {
        "conv1.weight", "bn1.running_mean", "prelu.weight", "layer1.0.bn1.weight",
        "layer1.0.conv1.weight", "layer1.0.bn2.weight", "layer1.0.prelu.weight",
        "layer1.0.conv2.weight", "layer1.0.bn3.weight", "layer1.0.downsample.0.weight",
        "layer1.0.downsample.1.running_var", "layer3.13.conv2.weight", "bn2.weight", "fc.weight",
        "fc.bias", "features.weight", "features.running_mean",
    } <= names  # fmt: skip


@pytest.mark.parametrize("backbone", bounded(BACKBONES, KEPT))
def test_training_learns_features_of_any_length_and_the_model_gives_their_direction(
    backbone: str,
) -> None:
    torch.manual_seed(0)
    features = model(backbone).build_features()
    network = model(backbone).build()
    network.load_state_dict(features.state_dict())
    images = torch.randn(3, 3, 48, 48)
    with torch.inference_mode():
        raw, unit = features.eval()(images), network.eval()(images)
    torch.testing.assert_close(raw / raw.norm(dim=1, keepdim=True), unit)
    assert not torch.allclose(raw.norm(dim=1), torch.ones(3))


@pytest.mark.parametrize("backbone", bounded(BACKBONES, KEPT))
def test_a_backbone_learns_and_its_onnx_embeds_as_torch_does(
    tmp_path: Path, data: Path, backbone: str
) -> None:
    records: list[dict[str, float]] = []
    job = TrainJob(
        data=data, output=tmp_path, checkpoint=tmp_path / "checkpoint.pt",
        advance=lambda units: None, log=records.append,
    )  # fmt: skip
    steps = {"steps": 9, "validate_every": 3, "checkpoint_every": 99, "learning_rate": 0.002}
    model(backbone).train(ArcFace.settings({**TRAIN, **steps, "losses": GENTLE}), job)
    assert records[-1]["loss"] < 0.8 * records[0]["loss"]
    assert model(backbone).export(tmp_path / "model.pt", tmp_path / "model.onnx") <= 1e-4


def test_black_is_minus_one_and_white_is_one_as_in_arcface_torch() -> None:
    black, white = (np.full((112, 112, 3), level, np.uint8) for level in (0, 255))
    inputs = model().inputs([black, white])
    np.testing.assert_allclose(inputs[0], -1, atol=1e-6)
    np.testing.assert_allclose(inputs[1], 1, atol=1e-6)


@pytest.mark.parametrize("loss", bounded(HEADS, ("arcface", "triplet")))
def test_a_training_that_was_killed_ends_in_the_same_bytes_whatever_its_loss(
    tmp_path: Path, data: Path, loss: str
) -> None:
    folders = [tmp_path / name for name in ("whole", "killed")]
    for folder in folders:
        folder.mkdir()
    whole = trained(folders[0], data, loss=loss)
    assert trained(folders[1], data, loss=loss, killed_at=2) == whole


def test_the_model_has_no_class_weights_and_the_checkpoint_has(tmp_path: Path, data: Path) -> None:
    trained(tmp_path, data)
    state = torch.load(tmp_path / "model.pt", weights_only=True)
    assert state.keys() == model().build().state_dict().keys()
    checkpoint = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert checkpoint["head"]["W"].shape == (16, 5)


def test_every_loss_with_classes_is_one_override_away_and_gives_another_model(
    tmp_path: Path, data: Path
) -> None:
    """As `dvc exp run -S profile=smoke -S models.recognition-arcface.train.loss=...` does it."""
    models = set()
    for loss in HEADS[:-1]:
        compose(
            ROOT / "conf", tmp_path / "params.yaml",
            ["profile=smoke", f"models.recognition-arcface.train.loss={loss}"], dry_run=False,
        )  # fmt: skip
        chosen = params.load(tmp_path / "params.yaml").model("recognition-arcface")
        train(
            ArcFace.of(chosen.network), ArcFace.settings(chosen.training), data=data,
            output=tmp_path / loss, curves_folder=tmp_path / "curves", workers=1,
            checkpoints=tmp_path / "checkpoints",
        )  # fmt: skip
        models.add((tmp_path / loss / "model.pt").read_bytes())
    assert len(models) == len(HEADS[:-1])


def test_the_embedding_of_a_crop_is_a_unit_vector(tmp_path: Path, data: Path) -> None:
    trained(tmp_path, data)
    face = np.random.default_rng(0).integers(0, 256, (60, 60, 3)).astype(np.uint8)
    (embedding,) = model().load(tmp_path / "model.pt", threads=1).embed([face])
    assert embedding.shape == (16,)
    assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-5)


def test_a_size_that_the_last_map_cannot_have_is_named() -> None:
    with pytest.raises(ParamsError, match="image_size"):
        model(image_size=50)

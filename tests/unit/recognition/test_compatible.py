"""What a training keeps of an older model's space."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from facemodels.architecture.contract import TrainJob
from facemodels.data.sample.generate import recognition_split
from facemodels.errors import InputError
from facemodels.imaging import crop_named
from facemodels.recognition.arcface import ArcFace
from facemodels.recognition.compatible import prototypes
from facemodels.recognition.task import Embedder, Preprocessing

from .test_distillation import TRAIN, D

OLD_CROP = "dlib150"
NETWORK = {"backbone": "mobilefacenet", "image_size": 48, "embedding_size": D, "dropout": 0.0}
COMPATIBLE = {
    **TRAIN, "batch_images": 2, "augmentation": dict.fromkeys(
        ("flip", "shift", "zoom", "brightness", "contrast", "tint"), 0
    ),
    "losses": {"influence": {"weight": 1.0, "margin_rad": 0, "scale": 10}}, "compatible_with": "an/old/package",
}  # fmt: skip


def old(size: int = D) -> Embedder:
    """Unit vectors of `size` numbers that differ much between any two crops."""

    def run(batch: np.ndarray) -> np.ndarray:
        vectors = np.sin(200 * batch[:, 0].reshape(len(batch), size, -1).mean(axis=2))
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    return Embedder(run, Preprocessing(size * 3, crop=crop_named(OLD_CROP)), size)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Faces in the network's crop, `arcface112`, and in that of the old model."""
    folder = tmp_path_factory.mktemp("data")
    for name in ("train", "val"):
        split = recognition_split(
            name, seed=1, identities=4, images_per_identity=3, image_size=48,
            folds=2, pairs_per_fold=3, workers=1,
        )  # fmt: skip
        split.others[OLD_CROP] = 255 - split.images
        split.save(folder / name)
    return folder


def test_a_prototype_is_the_direction_of_a_persons_mean_in_the_old_models_crop(data: Path) -> None:
    with np.load(data / "train/labels.npz") as labels:
        identities = labels["identities"]
    embeddings = old().embed(list(np.load(data / f"train/{OLD_CROP}.npy")))
    for person, found in zip(
        np.unique(identities), prototypes(old(), data / "train", embedding_size=D), strict=True
    ):
        mean = np.mean([embeddings[row] for row in np.flatnonzero(identities == person)], axis=0)
        np.testing.assert_allclose(found, mean / np.linalg.norm(mean), atol=1e-6)


def test_an_old_model_of_another_size_is_refused_with_the_remedy(data: Path) -> None:
    with pytest.raises(InputError, match="gives 12 numbers and the network 8") as error:
        prototypes(old(12), data / "train", embedding_size=8)
    assert "network.embedding_size=12" in str(error.value.remedy)


def loss_of_a_batch(
    data: Path, loss: str, kept: Embedder | None
) -> tuple[float, np.ndarray, np.ndarray]:
    """The loss of the second batch, and its features with the old prototypes of its people."""
    job = TrainJob(
        data=data, output=data, checkpoint=data / "none", advance=lambda n: None,
        log=lambda record: None, compatible=kept,
    )  # fmt: skip
    torch.manual_seed(1)
    network = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(3 * 12 * 12, D))
    settings = ArcFace.settings({**COMPATIBLE, "loss": loss})
    task = ArcFace.of(NETWORK).task_of(settings, job)
    inputs, people = task.batch(1)
    value = task.loss(network, network(inputs), people).item()
    return value, network(inputs).detach().numpy(), people.numpy()


@pytest.mark.parametrize("loss", ["triplet", "arcface", "cosface", "adaface", "magface", "softmax"])
def test_a_training_adds_the_influence_of_the_batchs_own_people(loss: str, data: Path) -> None:
    alone, features, people = loss_of_a_batch(data, loss, None)
    kept, _, _ = loss_of_a_batch(data, loss, old())
    directions = prototypes(old(), data / "train", embedding_size=D)
    logits = 10 * features @ directions.T / np.linalg.norm(features, axis=1, keepdims=True)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    influence = -np.log(shares[np.arange(len(people)), people]).mean()
    assert kept - alone == pytest.approx(influence, abs=1e-4)

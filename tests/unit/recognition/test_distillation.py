from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from facemodels.architecture.contract import TrainJob
from facemodels.data.sample.generate import recognition_split
from facemodels.data.splits import RecognitionSplit
from facemodels.errors import DataError, InputError, ParamsError
from facemodels.imaging import crop_named
from facemodels.recognition.arcface import ArcFace
from facemodels.recognition.batches import CropAugmentation
from facemodels.recognition.distillation import DistillationBatches
from facemodels.recognition.losses.heads import head
from facemodels.recognition.losses.settings import LossSettings
from facemodels.recognition.task import Embedder, Preprocessing

D = 8
STILL = CropAugmentation(flip=0, shift=0, zoom=0, brightness=0, contrast=0, tint=0)
WILD = CropAugmentation(flip=0.5, shift=0.05, zoom=0.1, brightness=0.2, contrast=0.2, tint=0.1)
INPUTS = Preprocessing(32, crop=crop_named("dlib150"))
TRAIN = {
    "seed": 1, "threads": 1, "device": "cpu", "mixed_precision": False, "steps": 3,
    "learning_rate": 0.01, "warmup_steps": 1, "final_learning_rate": 0.1, "weight_decay": 0.01,
    "clip_norm": 5.0, "ema_decay": 0.0, "validate_every": 3, "checkpoint_every": 1, "patience": 0,
    "batch_people": 4, "batch_images": 1, "loss": "distillation", "augmentation": WILD.model_dump(),
    "losses": {"distillation": {"teacher": "models/recognition/dlib-v1.0.0"}},
}  # fmt: skip
STUDENT = {
    "crop": "dlib150", "backbone": "resnet29", "image_size": 48, "embedding_size": D,
    "dropout": 0.0,
}  # fmt: skip


def teacher() -> Embedder:
    """Means of the colours of parts of a crop, and 3 for all of them, as a unit vector."""

    def run(batch: np.ndarray) -> np.ndarray:
        parts = batch.reshape(len(batch), 3, 2, 16, 32).mean(axis=(3, 4)).reshape(len(batch), 6)
        vectors = np.concatenate([parts, np.full((len(batch), 2), 3.0)], axis=1)
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    return Embedder(run, INPUTS, D)


@pytest.fixture(scope="module")
def split() -> RecognitionSplit:
    made = recognition_split(
        "train", seed=1, identities=4, images_per_identity=3, image_size=48,
        folds=2, pairs_per_fold=3, workers=1,
    )  # fmt: skip
    found = np.ones(len(made), np.bool_)
    found[5] = False
    return replace(made, crop="dlib150", found=found)


def batches(split: RecognitionSplit, **changes) -> DistillationBatches:
    wanted = {
        "size": 4, "preprocessing": INPUTS, "seed": 5, "augmentation": STILL, "mixup": 0.0,
        "centred": False, **changes,
    }  # fmt: skip
    return DistillationBatches(split, teacher(), **wanted)


def test_a_batch_is_a_pure_function_of_seed_and_step(split) -> None:
    one, other = (batches(split, augmentation=WILD, mixup=0.5, centred=True) for _ in range(2))
    for step in (0, 7, 3):
        for a, b in zip(one(step), other(step), strict=True):
            assert np.array_equal(a, b)
    assert not np.array_equal(one(0)[0], one(1)[0])


def test_an_epoch_shows_each_crop_that_was_found_at_most_once(split) -> None:
    draw = batches(split, size=3)
    answers = np.concatenate([draw(step)[1] for step in range(len(split) // 3 - 1)])
    of_all = teacher().embed(list(split.images))
    rows = [int(np.argmax(of_all @ answer)) for answer in answers]
    assert len(set(rows)) == len(rows) == 9
    assert 5 not in rows


def test_the_teacher_answers_for_the_view_and_not_for_the_photo(split) -> None:
    inputs, answers = batches(split, augmentation=WILD, mixup=1.0)(2)
    # The teacher and the network take inputs alike here.
    np.testing.assert_array_equal(answers, teacher().run(inputs))


def test_mixup_blends_two_views(split) -> None:
    plain, _ = batches(split)(0)
    mixed, _ = batches(split, mixup=1.0)(0)
    for row, view in enumerate(mixed):
        one, other = plain[row].ravel(), plain[(row + 1) % len(plain)].ravel()
        share = (view.ravel() - other) @ (one - other) / ((one - other) @ (one - other))
        assert 0 <= share <= 1
        blend = share * one + (1 - share) * other
        assert np.abs(view.ravel() - blend).max() < 2 / 128


def test_centred_answers_are_unit_vectors_without_the_teachers_mean(split) -> None:
    draw = batches(split, centred=True)
    found = [image for image, seen in zip(split.images, split.found, strict=True) if seen]
    embeddings = teacher().embed(found)
    moved = embeddings - embeddings.mean(axis=0)
    expected = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    np.testing.assert_allclose(draw.targets(found), expected, atol=1e-5)
    assert (embeddings @ embeddings.T).min() > 0.5
    assert (expected @ expected.T).min() < -0.5


def test_a_teacher_of_another_crop_is_refused_with_the_remedy(split) -> None:
    with pytest.raises(InputError, match="'dlib150' and the network 'arcface112'") as error:
        batches(replace(split, crop="arcface112"))
    assert "network.crop=dlib150" in str(error.value.remedy)


def test_a_batch_larger_than_the_split_is_refused(split) -> None:
    with pytest.raises(DataError, match="wants 12 crops, the training split has 11"):
        batches(split, size=12)


def test_distillation_without_a_teacher_is_refused() -> None:
    with pytest.raises(ParamsError, match=r"losses\.distillation\.teacher"):
        ArcFace.settings({**TRAIN, "losses": {}})


def test_the_loss_is_the_squared_distance_of_the_directions() -> None:
    rng = np.random.default_rng(0)
    features, answers = rng.normal(size=(2, 6, D))
    answers /= np.linalg.norm(answers, axis=1, keepdims=True)
    cosine = np.einsum("nd,nd->n", features, answers) / np.linalg.norm(features, axis=1)
    made = head("distillation", LossSettings(), classes=3, embedding_size=D)
    value = made(torch.tensor(features), torch.tensor(answers)).item()
    assert value == pytest.approx((2 - 2 * cosine).mean())


@pytest.fixture(scope="module")
def data(split, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name in ("train", "val"):
        split.save(folder / name)
    return folder


def trained(folder: Path, data: Path, **changes: object) -> list[float]:
    """The losses of a training, whose weights lie in `folder`."""
    losses: list[float] = []
    job = TrainJob(
        data=data, output=folder, checkpoint=folder / "checkpoint.pt", advance=lambda n: None,
        log=lambda record: losses.append(record["loss"]), teacher=teacher(),
    )  # fmt: skip
    ArcFace.of({**STUDENT, **changes}).train(
        ArcFace.settings({**TRAIN, "steps": 12, "validate_every": 6}), job
    )
    return losses


def test_a_network_comes_near_to_its_teacher(tmp_path: Path, data: Path) -> None:
    first, last = trained(tmp_path, data)
    assert last < first


def test_a_network_of_another_size_is_refused_with_the_remedy(tmp_path: Path, data: Path) -> None:
    with pytest.raises(InputError, match="gives 8 numbers and the network 16") as error:
        trained(tmp_path, data, embedding_size=16)
    assert "network.embedding_size=8" in str(error.value.remedy)

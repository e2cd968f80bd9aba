from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from facemodels.data.sample.generate import recognition_split
from facemodels.errors import DataError, ParamsError
from facemodels.recognition import facenet
from facemodels.recognition.batches import CropAugmentation, IdentityBatches
from facemodels.recognition.losses.triplets import semi_hard_triplet_loss
from facemodels.recognition.task import Embedder, Preprocessing, served
from facemodels.runtime import open_graph
from facemodels.training.weights import save_state

STILL = CropAugmentation(flip=0, shift=0, zoom=0, brightness=0, contrast=0, tint=0)
WILD = CropAugmentation(flip=0.5, shift=0.05, zoom=0.1, brightness=0.2, contrast=0.2, tint=0.1)
CONF = Path(__file__).resolve().parents[3] / "conf/model/recognition-facenet.yaml"
TRAIN = yaml.safe_load(CONF.read_text(encoding="utf-8"))["train"]
MODEL = facenet.FaceNet.of({"image_size": 80, "dropout": 0.0})


@pytest.fixture(scope="module")
def split():
    return recognition_split(
        "train", seed=1, identities=7, images_per_identity=3, image_size=48,
        folds=2, pairs_per_fold=3, workers=1,
    )  # fmt: skip


def batches(split, **changes) -> IdentityBatches:
    wanted = {
        "people": 3,
        "images": 2,
        "preprocessing": Preprocessing(32),
        "seed": 5,
        "augmentation": WILD,
        **changes,
    }
    return IdentityBatches(split, **wanted)


def test_a_batch_is_a_pure_function_of_seed_and_step(split) -> None:
    one, other = batches(split), batches(split)
    for step in (0, 7, 3):
        for a, b in zip(one(step), other(step), strict=True):
            assert np.array_equal(a, b)
    assert not np.array_equal(one(0)[0], one(1)[0])
    assert not np.array_equal(one(0)[0], batches(split, seed=6)(0)[0])


def test_a_batch_holds_p_people_and_k_different_images_of_each(split) -> None:
    inputs, identities = batches(split)(4)
    assert inputs.shape == (6, 3, 32, 32)
    assert inputs.dtype == np.float32
    people, counts = np.unique(identities, return_counts=True)
    assert len(people) == 3
    assert set(counts) == {2}


def test_an_epoch_shows_every_person_at_most_once(split) -> None:
    draw = batches(split)
    seen = np.concatenate([np.unique(draw(step)[1]) for step in range(2)])
    assert len(seen) == len(set(seen)) == 6


def test_people_with_fewer_images_than_k_are_repeated(split) -> None:
    _, identities = batches(split, images=5)(0)
    assert np.unique(identities, return_counts=True)[1].tolist() == [5, 5, 5]


def test_too_few_people_are_refused(split) -> None:
    with pytest.raises(DataError, match="batch_people"):
        batches(split, people=8)


def test_without_augmentation_a_training_crop_is_the_crop_that_is_served(split) -> None:
    draw = batches(split, augmentation=STILL, preprocessing=Preprocessing(48))
    inputs, _ = draw(0)
    served = Preprocessing(48)(list(split.images))
    for row in inputs:
        assert np.abs(served - row).reshape(len(served), -1).max(axis=1).min() < 1e-6


def _brute_force(embeddings: np.ndarray, labels: np.ndarray, margin: float) -> float:
    """FaceNet's equations 1 and 4, one triplet after the other."""
    distance = np.linalg.norm(embeddings[:, None] - embeddings[None], axis=2)
    losses = []
    for a in range(len(labels)):
        for p in range(len(labels)):
            for n in range(len(labels)):
                if a == p or labels[a] != labels[p] or labels[a] == labels[n]:
                    continue
                gap = distance[a, n] - distance[a, p]
                if 0 < gap <= margin and margin - gap > 0:
                    losses.append(margin - gap)
    return float(np.mean(losses)) if losses else 0.0


@pytest.mark.parametrize("seed", range(5))
def test_the_triplet_loss_is_the_mean_over_all_semi_hard_triplets(seed: int) -> None:
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(12, 6))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    labels = np.repeat(np.arange(4), 3)
    loss = semi_hard_triplet_loss(
        torch.tensor(embeddings, dtype=torch.float32), torch.tensor(labels), 0.3
    )
    assert loss.item() == pytest.approx(_brute_force(embeddings, labels, 0.3), abs=1e-5)


def test_training_learns_features_of_any_length_and_the_model_gives_their_direction() -> None:
    torch.manual_seed(0)
    features, network = MODEL.build_features(), MODEL.build()
    network.load_state_dict(features.state_dict())
    images = torch.randn(2, 3, 80, 80)
    with torch.inference_mode():
        raw, unit = features.eval()(images), network.eval()(images)
    torch.testing.assert_close(raw / raw.norm(dim=1, keepdim=True), unit)
    assert not torch.allclose(raw.norm(dim=1), torch.ones(2))


def test_onnx_and_torch_embed_alike_and_the_export_repeats_its_bytes(tmp_path: Path, split) -> None:
    torch.manual_seed(0)
    save_state(MODEL.build().state_dict(), tmp_path / "model.pt")
    error = MODEL.export(tmp_path / "model.pt", tmp_path / "a.onnx")
    MODEL.export(tmp_path / "model.pt", tmp_path / "b.onnx")
    assert error < 1e-4
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    embedders = [
        MODEL.load(tmp_path / "model.pt", threads=1),
        served(
            open_graph(tmp_path / "a.onnx", threads=1).run,
            {"preprocessing": MODEL.preprocessing()},
            {"output_shape": MODEL.interface().output_shape},
        ),
    ]
    one, other = (embedder.embed(list(split.images)) for embedder in embedders)
    np.testing.assert_allclose(one, other, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1, atol=1e-5)


def test_no_images_give_no_embeddings() -> None:
    assert Embedder(lambda batch: batch, Preprocessing(80), 512).embed([]).shape == (0, 512)


def test_a_wrong_hyperparameter_is_named() -> None:
    with pytest.raises(ParamsError, match="image_size"):
        facenet.FaceNet.of({"image_size": 8, "dropout": 0})


def test_epochs_become_steps() -> None:
    assert MODEL.budget(MODEL.settings(TRAIN), epochs=10, images=400).steps == 100


def test_a_batch_of_a_small_folder_has_no_more_people_than_there_are(split, tmp_path: Path) -> None:
    split.save(tmp_path / "train")
    asked = MODEL.settings({**TRAIN, "batch_people": 10, "micro_batches": 4, "batch_images": 2})
    assert MODEL.fitted(asked, tmp_path).batch_people == 6  # of 7, in equal parts of 4
    few = asked.model_copy(update={"batch_people": 7})
    assert MODEL.fitted(few, tmp_path) is few


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> tuple[Path, torch.nn.Module]:
    """A checkpoint in the layout of facenet-pytorch's VGGFace2 release, made by its own class."""
    from facenet_pytorch import InceptionResnetV1

    torch.manual_seed(4)
    network = InceptionResnetV1(classify=True, num_classes=8631).eval()
    path = tmp_path_factory.mktemp("published") / "20180402-114759-vggface2.pt"
    torch.save(network.state_dict(), path)
    return path, network


@pytest.fixture(scope="module")
def built() -> torch.nn.Module:
    return MODEL.build_for_training()


def test_a_published_checkpoint_is_taken_without_its_classifier(published, built) -> None:
    path, original = published
    expected = original.state_dict()
    MODEL.load_initial(built, path)
    state = built.state_dict()
    assert set(expected) - set(state) == {"logits.weight", "logits.bias"}
    assert all(torch.equal(value, expected[name]) for name, value in state.items())
    inputs = torch.randn(2, 3, 80, 80)
    ours = torch.nn.functional.normalize(built.eval()(inputs), dim=1)
    original.classify = False
    torch.testing.assert_close(ours, original(inputs), atol=1e-6, rtol=0)


def test_a_checkpoint_that_lacks_a_layer_is_named(published, built, tmp_path: Path) -> None:
    state = torch.load(published[0], weights_only=True)
    del state["last_linear.weight"]
    torch.save(state, tmp_path / "cut.pt")
    with pytest.raises(DataError, match=r"cut\.pt does not hold weights of InceptionResnetV1"):
        MODEL.load_initial(built, tmp_path / "cut.pt")

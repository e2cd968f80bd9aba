from __future__ import annotations

from pathlib import Path

import dlib
import face_recognition_models
import numpy as np
import pytest
import torch
from torch.nn import functional

from facemodels import imaging
from facemodels.data.sample.generate import landmark_split
from facemodels.recognition.dlib import PRETRAINED, DlibEmbedder
from facemodels.recognition.dlib.dat_file import read
from facemodels.recognition.dlib.network import (
    EMBEDDING_SIZE,
    MEAN,
    SCALE,
    SIZE,
    DlibResNet,
    load_dat,
)
from facemodels.runtime import open_graph, torch_run

LFW = Path(__file__).resolve().parents[4].parent / "shared/data/lfw/lfw-deepfunneled"
needs_lfw = pytest.mark.skipif(not LFW.is_dir(), reason="LFW is not at ../shared/data/lfw")


@pytest.fixture(scope="module")
def network() -> DlibResNet:
    network = DlibResNet().eval()
    load_dat(network, read(PRETRAINED.locate()), "the file")
    return network


@pytest.fixture(scope="module")
def original():
    """dlib's own network with its own weights."""
    return dlib.face_recognition_model_v1(str(PRETRAINED.locate()))


def inputs(chips: list[np.ndarray]) -> np.ndarray:
    pixels = np.stack(chips).astype(np.float32)
    return ((pixels - np.float32(MEAN)) * np.float32(SCALE)).transpose(0, 3, 1, 2).copy()


def described_by_dlib(original, chips: list[np.ndarray]) -> np.ndarray:
    return np.array([original.compute_face_descriptor(chip) for chip in chips], np.float32)


def described(network: DlibResNet, chips: list[np.ndarray]) -> np.ndarray:
    """dlib's descriptors, before the division by their length."""
    features = DlibResNet(unit=False)
    features.load_state_dict(network.state_dict())
    return torch_run(features)(inputs(chips))


def generated_chips() -> list[np.ndarray]:
    faces = landmark_split("train", seed=1, faces=6, image_size=SIZE, workers=1).images
    noise = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    black, white = (np.full((SIZE, SIZE, 3), value, np.uint8) for value in (0, 255))
    return [*map(np.ascontiguousarray, faces), noise, black, white]


def lfw_chips(people: int) -> list[np.ndarray]:
    """dlib's own chips: its detector, its five points."""
    detector = dlib.get_frontal_face_detector()
    predictor = dlib.shape_predictor(
        face_recognition_models.pose_predictor_five_point_model_location()
    )
    chips = []
    for folder in sorted(LFW.iterdir())[:people]:
        image = imaging.decode(sorted(folder.iterdir())[0].read_bytes())
        for box in detector(image)[:1]:
            shape = predictor(image, box)
            chips.append(dlib.get_face_chip(image, shape, size=SIZE, padding=0.25))
    return chips


def test_it_describes_generated_chips_as_dlib_does(network: DlibResNet, original) -> None:
    chips = generated_chips()
    difference = np.abs(described(network, chips) - described_by_dlib(original, chips))
    assert difference.max() < 1e-5


@needs_lfw
def test_it_describes_photos_as_dlib_does(network: DlibResNet, original) -> None:
    chips = lfw_chips(12)
    assert len(chips) >= 10
    difference = np.abs(described(network, chips) - described_by_dlib(original, chips))
    assert difference.max() < 1e-5


def test_its_output_is_dlibs_descriptor_at_unit_length(network: DlibResNet, original) -> None:
    chips = generated_chips()[:2]
    expected = functional.normalize(torch.from_numpy(described_by_dlib(original, chips))).numpy()
    np.testing.assert_allclose(torch_run(network)(inputs(chips)), expected, atol=1e-5)


def test_the_graph_agrees_with_torch_and_dlib_for_batches_of_any_size(
    network: DlibResNet, original, tmp_path: Path
) -> None:
    model = DlibEmbedder.of({})
    assert model.export_network(network, tmp_path / "model.onnx") < 1e-4
    graph = open_graph(tmp_path / "model.onnx", threads=1)
    assert (graph.input_shape, graph.output_shape) == ((3, SIZE, SIZE), (EMBEDDING_SIZE,))
    chips = generated_chips()[:5]
    together = graph.run(inputs(chips))
    expected = described_by_dlib(original, chips)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.abs(together - expected).max() < 1e-5
    alone = np.concatenate([graph.run(inputs([chip])) for chip in chips])
    np.testing.assert_allclose(alone, together, atol=1e-6)


def test_exporting_twice_gives_the_same_bytes(network: DlibResNet, tmp_path: Path) -> None:
    for name in ("a", "b"):
        DlibEmbedder.of({}).export_network(network, tmp_path / f"{name}.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_it_can_be_trained_on(network: DlibResNet) -> None:
    """Every weight gets a gradient: nothing of the imported network is cut off."""
    trained = DlibResNet()
    trained.load_state_dict(network.state_dict())
    chips = torch.from_numpy(inputs(generated_chips()[:4]))
    weights = torch.arange(float(EMBEDDING_SIZE))
    (trained(chips) * weights).sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in trained.parameters())

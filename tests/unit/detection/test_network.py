from __future__ import annotations

import copy
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from facemodels.data.splits import NO_GROUP, DetectionSplit
from facemodels.detection.batches import SceneAugmentation, SceneBatch, training_batch
from facemodels.detection.yolov8 import network as yolov8
from facemodels.errors import FacemodelsError, InputError

SIDE = 64


@pytest.fixture(scope="module")
def built() -> nn.Module:
    torch.manual_seed(0)
    return yolov8.build()


@pytest.fixture
def model(built: nn.Module) -> nn.Module:
    """A copy, so that no test trains another's network."""
    return copy.deepcopy(built)


def test_a_file_of_the_current_folder_with_the_name_of_ultralytics_own_changes_no_network(
    built: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("yolov8n.yaml", "yolov8.yaml"):
        Path(name).write_text("train: {batch_size: 8}\n")
    torch.manual_seed(0)
    again = yolov8.build()
    pairs = zip(built.state_dict().values(), again.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


@pytest.fixture
def batch() -> SceneBatch:
    images = np.full((4, SIDE, SIDE, 3), 40, dtype=np.uint8)
    boxes = np.array(
        [[8, 8, 40, 40], [20, 10, 60, 50], [4, 4, 24, 24], [30, 30, 60, 60]], dtype=np.float32
    )
    owner = np.array([0, 1, 2, 2], dtype=np.int32)  # the last picture holds no face
    for image, (x0, y0, x1, y1) in zip(owner, boxes.astype(int), strict=True):
        images[image, y0:y1, x0:x1] = 220
    split = DetectionSplit(images, boxes, owner, np.full(4, NO_GROUP, dtype=np.int8))
    still = SceneAugmentation(flip=0, scale=0, translate=0, hue=0, saturation=0, value=0, mosaic=0)
    return training_batch(split, np.arange(4), np.random.default_rng(0), still)


def loss_of(model: nn.Module, batch: SceneBatch) -> torch.Tensor:
    return yolov8.loss(model, yolov8.outputs(model, batch.images), batch)


def train(model: nn.Module, batch: SceneBatch, steps: int) -> list[float]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    model.train()
    losses = []
    for _ in range(steps):
        value = loss_of(model, batch)
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(value.item())
    return losses


def test_evaluation_gives_boxes_in_pixels_and_scores(model: nn.Module) -> None:
    model.eval()
    with torch.no_grad():
        output = model(torch.rand(2, 3, 96, 96))

    anchors = 12 * 12 + 6 * 6 + 3 * 3
    assert output.shape == (2, 5, anchors)
    assert output.dtype == torch.float32
    assert 0 <= output[:, 4].min() <= output[:, 4].max() <= 1
    assert 0 < output[:, 0].mean() < 96


def test_same_seed_same_weights_other_seed_other_weights() -> None:
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(yolov8.build().state_dict())

    first, again, other = states
    assert all(first[key].equal(again[key]) for key in first)
    assert any(not first[key].equal(other[key]) for key in first)


def test_unknown_scale_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="n, s, m, l, x"):
        yolov8.build(scale="huge")


def test_weights_have_the_keys_that_ultralytics_publishes(model: nn.Module) -> None:
    assert next(iter(model.state_dict())) == "model.0.conv.weight"


def test_a_few_steps_on_one_batch_reduce_the_loss(model: nn.Module, batch: SceneBatch) -> None:
    losses = train(model, batch, 15)

    assert losses[-1] < 0.7 * losses[0]


def test_training_twice_gives_the_same_bytes(built: nn.Module, batch: SceneBatch) -> None:
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        first, again = copy.deepcopy(built), copy.deepcopy(built)
        assert train(first, batch, 3) == train(again, batch, 3)
    finally:
        torch.use_deterministic_algorithms(before)

    states = first.state_dict(), again.state_dict()
    assert all(states[0][key].equal(states[1][key]) for key in states[0])


def test_loss_is_a_mean_over_pictures(model: nn.Module, batch: SceneBatch) -> None:
    model.train()
    twice = SceneBatch(
        torch.cat([batch.images, batch.images]),
        torch.cat([batch.boxes, batch.boxes]),
        torch.cat([batch.box_image, batch.box_image + len(batch.images)]),
    )

    once = loss_of(model, batch).item()

    assert loss_of(model, twice).item() == pytest.approx(once, rel=1e-3)


def test_loss_of_pictures_without_faces_is_finite(model: nn.Module, batch: SceneBatch) -> None:
    model.train()
    value = loss_of(model, SceneBatch(batch.images, batch.boxes[:0], batch.box_image[:0]))
    value.backward()  # type: ignore[no-untyped-call]

    assert torch.isfinite(value)


def test_export_equals_torch_and_takes_any_batch_size(model: nn.Module, tmp_path: Path) -> None:
    model.train()

    error = yolov8.export_onnx(model, tmp_path / "model.onnx", SIDE)

    assert error < 1e-4
    assert model.training
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    images = np.random.default_rng(1).random((3, 3, SIDE, SIDE), dtype=np.float32)
    (served,) = session.run(["predictions"], {"images": images})
    model.eval()
    with torch.no_grad():
        expected = model(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(served, expected, atol=1e-4)


def test_export_gives_the_same_bytes_twice_without_paths(model: nn.Module, tmp_path: Path) -> None:
    first, again = tmp_path / "a.onnx", tmp_path / "elsewhere" / "b.onnx"

    yolov8.export_onnx(model, first, SIDE)
    model.eval()(torch.zeros(1, 3, 96, 96))  # the head caches its grid
    yolov8.export_onnx(model, again, SIDE)

    assert first.read_bytes() == again.read_bytes()
    graph = onnx.load(first)
    assert not any(node.doc_string for node in graph.graph.node)
    assert b"site-packages" not in first.read_bytes()
    assert not graph.metadata_props
    assert not any(node.op_type == "Range" for node in graph.graph.node)  # anchors: constants


def test_export_refuses_a_size_off_the_stride(model: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="multiple of 32"):
        yolov8.export_onnx(model, tmp_path / "model.onnx", 100)


def test_export_that_computes_something_else_is_not_written(
    model: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yolov8, "_export_error", lambda *_: 1.0)

    with pytest.raises(FacemodelsError, match="differs from torch"):
        yolov8.export_onnx(model, tmp_path / "model.onnx", SIDE)

    assert not (tmp_path / "model.onnx").exists()


def test_importing_ultralytics_leaves_no_trace(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import os, sys, warnings
        import cv2, numpy, torch
        from facemodels.detection.yolov8 import network as yolov8

        assert "ultralytics" not in sys.modules
        def state():
            return (dict(os.environ), torch.save, torch.get_num_threads(), cv2.getNumThreads(),
                    numpy.get_printoptions(), repr(torch.rand(2, 2) > 2), list(warnings.filters))
        before = state()
        yolov8.build()
        assert "ultralytics" in sys.modules
        for old, new in zip(before, state(), strict=True):
            assert old == new, (old, new)
        """
    )
    home = tmp_path / "home"
    home.mkdir()

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env={**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(home.iterdir()) == []


def test_pillow_opens_images_as_before_once_ultralytics_is_imported(model: nn.Module) -> None:
    from PIL import Image

    assert Image.open.__module__ == "PIL.Image"

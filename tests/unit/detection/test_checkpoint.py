"""Checkpoints in the layout that ultralytics publishes, made by its own classes."""

from __future__ import annotations

import copy
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from facemodels.detection import yolov8
from facemodels.detection.yolov8 import checkpoint, network
from facemodels.errors import DataError
from facemodels.training.weights import save_state

MODEL = yolov8.YoloV8.of({"scale": "n", "image_size": 64})


@pytest.fixture(scope="module")
def coco() -> nn.Module:
    """A network of 80 classes, as ultralytics makes it."""
    from_ultralytics, _ = network._import_ultralytics()
    torch.manual_seed(1)
    return from_ultralytics("yolov8n.yaml", nc=80, verbose=False)


@pytest.fixture(scope="module")
def fresh() -> nn.Module:
    torch.manual_seed(2)
    return MODEL.build()


@pytest.fixture
def built(fresh: nn.Module) -> nn.Module:
    """A copy, so that no test loads weights into another's network."""
    return copy.deepcopy(fresh)


def publish(path: Path, **changes: object) -> Path:
    """Write what ultralytics writes: the network itself, in half precision, with its history."""
    values = {
        "epoch": -1, "best_fitness": None, "model": None, "ema": None, "updates": None,
        "optimizer": None, "train_args": {"imgsz": 640}, "date": "2024-01-01", "version": "8.3.0",
    }  # fmt: skip
    with path.open("wb") as stream:
        torch.save({**values, **changes}, stream)
    return path


@pytest.mark.parametrize("key", ["model", "ema"])
def test_all_but_the_branch_of_the_classes_is_taken_from_a_published_checkpoint(
    coco: nn.Module, built: nn.Module, tmp_path: Path, key: str
) -> None:
    published = copy.deepcopy(coco).half()
    path = publish(tmp_path / "yolov8n.pt", **{key: published})
    untouched = {name: value.clone() for name, value in built.state_dict().items()}
    MODEL.load_initial(built, path)
    expected = published.float().state_dict()
    branch = checkpoint.class_branch(built)
    taken = 0
    for name, value in built.state_dict().items():
        if value.shape == expected[name].shape:
            assert torch.equal(value, expected[name]), name
            taken += value.numel()
        else:
            assert name.startswith(branch)
            assert torch.equal(value, untouched[name])
    assert taken > 0.85 * sum(value.numel() for value in untouched.values())
    assert all(value.dtype == untouched[name].dtype for name, value in built.state_dict().items())


def test_a_state_dict_of_our_own_is_taken_whole(built: nn.Module, tmp_path: Path) -> None:
    trained = {name: value + 1 for name, value in built.state_dict().items()}
    save_state(trained, tmp_path / "model.pt")
    MODEL.load_initial(built, tmp_path / "model.pt")
    assert all(torch.equal(value, trained[name]) for name, value in built.state_dict().items())


def test_a_state_dict_in_torchs_old_format_is_taken_too(built: nn.Module, tmp_path: Path) -> None:
    older = {name: value + 1 for name, value in built.state_dict().items()}
    torch.save(older, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    MODEL.load_initial(built, tmp_path / "old.pt")
    assert all(torch.equal(value, older[name]) for name, value in built.state_dict().items())


def test_a_network_in_torchs_old_format_runs_no_code(built: nn.Module, tmp_path: Path) -> None:
    path, bomb = tmp_path / "old.pt", Bomb(tmp_path / "exploded")
    torch.save({"model": bomb}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(DataError, match=r"old\.pt is no checkpoint that can be read"):
        MODEL.load_initial(built, path)
    assert not bomb.path.exists()


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


def test_a_file_that_would_run_code_is_refused_and_runs_none(
    coco: nn.Module, built: nn.Module, tmp_path: Path
) -> None:
    path = publish(tmp_path / "yolov8n.pt", model=coco, train_args=Bomb(tmp_path / "exploded"))
    with pytest.raises(DataError, match=r"names posix\.mkdir, which is no layer"):
        MODEL.load_initial(built, path)
    assert not (tmp_path / "exploded").exists()


def test_functions_of_ultralytics_are_no_layers_either(built: nn.Module, tmp_path: Path) -> None:
    from ultralytics.nn.tasks import guess_model_task

    path = publish(tmp_path / "x.pt", train_args=guess_model_task)
    with pytest.raises(DataError, match="guess_model_task, which is no layer"):
        MODEL.load_initial(built, path)


def test_a_network_of_another_scale_is_named(built: nn.Module, tmp_path: Path) -> None:
    small = yolov8.YoloV8.of({"scale": "s", "image_size": 64}).build()
    save_state(small.state_dict(), tmp_path / "s.pt")
    with pytest.raises(DataError, match=r"another shape, such as model\.0.*network\.scale"):
        MODEL.load_initial(built, tmp_path / "s.pt")


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04"])
def test_a_file_that_is_no_checkpoint_is_named(
    built: nn.Module, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "broken.pt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"broken\.pt is no checkpoint"):
        MODEL.load_initial(built, path)


def test_a_file_without_a_network_is_named(built: nn.Module, tmp_path: Path) -> None:
    path = publish(tmp_path / "x.pt")
    with pytest.raises(DataError, match="no network and no state dict"):
        MODEL.load_initial(built, path)

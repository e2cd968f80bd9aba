from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from facemodels.data.sample.generate import detection_split
from facemodels.errors import DataError, InputError
from facemodels.files import list_files, sha256, sha256_tree
from facemodels.package.build import build
from facemodels.package.load import open_package
from facemodels.package.requirements import closure

from .conftest import FACENET, content, dlib_content

FILES = [
    "README.md", "checksums.sha256", "config.yaml", "metadata.json",
    "model.onnx", "model.pt", "requirements.txt",
]  # fmt: skip


def test_a_package_is_the_folder_of_the_design(facenet_package: Path, dlib_package: Path) -> None:
    assert list_files(facenet_package) == FILES
    without_onnx = [name.replace("model.pt", "model.dat") for name in FILES if name != "model.onnx"]
    assert list_files(dlib_package) == without_onnx


def test_a_package_of_several_graphs_names_them_and_the_steps_between(mtcnn_package: Path) -> None:
    graphs = ["onet.onnx", "pnet.onnx", "rnet.onnx"]
    assert list_files(mtcnn_package) == sorted({*FILES, *graphs} - {"model.onnx"})
    package = open_package(mtcnn_package)
    assert package.config["graphs"] == {
        "pnet": "pnet.onnx", "rnet": "rnet.onnx", "onet": "onet.onnx"
    }  # fmt: skip
    assert package.config["decode"] == {
        "name": "mtcnn", "thresholds": [0.6, 0.7, 0.7], "min_face_size": 20, "factor": 0.709,
        "max_pixels": 2_500_000,
    }  # fmt: skip
    assert 0 <= package.metadata["onnx_max_abs_error"] < 1e-4


def test_the_same_inputs_give_the_same_bytes_in_another_process(
    facenet_weights: Path, facenet_package: Path, tmp_path: Path
) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from tests.unit.package.conftest import FACENET, content\n"
        "from facemodels.package.build import build\n"
        "build(content(Path(sys.argv[2]), 'rec-facenet-v1.2.3', FACENET), Path(sys.argv[3]))\n"
    )
    root = str(Path(__file__).resolve().parents[3])
    target = tmp_path / "elsewhere" / "facenet-v1.2.3"
    command = [sys.executable, "-c", script, root, str(facenet_weights), str(target)]
    subprocess.run(command, check=True, cwd=tmp_path)
    assert sha256_tree(target) == sha256_tree(facenet_package)


def test_metadata_tells_what_the_guide_asks_for(facenet_package: Path) -> None:
    metadata = json.loads((facenet_package / "metadata.json").read_text())
    assert metadata["name"] == "recognition-facenet"
    assert metadata["version"] == "1.2.3"
    assert metadata["created_at"] == "2026-01-02T03:04:05Z"
    assert metadata["architecture"] == "InceptionResnetV1"
    assert metadata["input_shape"] == [80, 80, 3]
    assert metadata["output_shape"] == [512]
    assert metadata["checksum"] == f"sha256:{sha256(facenet_package / 'model.pt')}"
    size = (facenet_package / "model.pt").stat().st_size
    assert metadata["file_size_mb"] == pytest.approx(size / 1e6, abs=1e-3)
    assert metadata["threshold"] == 0.4
    assert 0 <= metadata["onnx_max_abs_error"] < 1e-4
    assert metadata["embedding_space"].startswith("recognition-facenet-")


def test_a_package_that_is_there_already_stays_and_another_is_refused(
    dlib_weights: Path, dlib_package: Path, tmp_path: Path
) -> None:
    target = tmp_path / "dlib-v1.0.0"
    shutil.copytree(dlib_package, target)
    before = (target / "model.dat").stat().st_mtime_ns
    build(dlib_content(dlib_weights), target)
    assert (target / "model.dat").stat().st_mtime_ns == before
    with pytest.raises(InputError, match="a version never changes"):
        build(dlib_content(dlib_weights, nme=0.2), target)
    assert sha256_tree(target) == sha256_tree(dlib_package)


def test_packaging_into_the_training_folder_keeps_what_lay_there(
    dlib_weights: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "dlib-v2.2.0"
    shutil.copytree(dlib_weights, folder)
    (folder / "notes.txt").write_text("mine")
    build(dlib_content(folder, "lmk-dlib-v2.2.0"), folder)
    open_package(folder)
    assert (tmp_path / "dlib-v2.2.0.training" / "notes.txt").read_text() == "mine"


def test_files_that_are_not_the_trainings_are_never_replaced(
    dlib_weights: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "dlib-v1.0.0"
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="would be lost"):
        build(dlib_content(dlib_weights), folder)
    assert list_files(folder) == ["thesis.tex"]


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/model.pt").write_bytes(b"no weights")
    broken = content(tmp_path / "weights", "rec-facenet-v1.2.3", FACENET)
    with pytest.raises(DataError):
        build(broken, tmp_path / "packages/facenet-v1.2.3")
    assert list((tmp_path / "packages").iterdir()) == []


def test_network_values_that_do_not_fit_are_refused(facenet_weights: Path) -> None:
    with pytest.raises(InputError, match="dropout"):
        content(facenet_weights, "rec-facenet-v1.2.3", {"image_size": 96, "dropout": "no"})


def test_requirements_pin_everything_that_the_served_form_imports(facenet_package: Path) -> None:
    lines = (facenet_package / "requirements.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert {"numpy", "onnxruntime", "pillow", "pyyaml"} <= pins.keys()
    assert "torch" not in pins
    assert pins == closure(["numpy", "onnxruntime", "pillow", "PyYAML"])
    assert "torch==" in lines[-1]


def _example(package: Path) -> str:
    readme = (package / "README.md").read_text()
    return readme.split("```python\n")[1].split("```")[0]


def _environment(package: Path, folder: Path) -> Path:
    """A fresh virtual environment that holds the package's requirements and nothing else.

    The distributions are linked from this environment, which saves the download.
    """
    from importlib.metadata import distribution

    command = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(command, check=True)
    site = next(folder.glob("lib/python*/site-packages"))
    for line in (package / "requirements.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        name, version = line.split("==")
        found = distribution(name)
        assert found.version == version
        for file in found.files or ():
            top = file.parts[0]
            if top != ".." and not (site / top).exists():
                (site / top).symlink_to(Path(str(found.locate_file(top))))
    return folder / "bin" / "python"


@pytest.fixture
def face(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "face.png"
    Image.fromarray(rng.integers(0, 256, (90, 100, 3), dtype=np.uint8)).save(path)
    return path


def test_the_cards_example_embeds_in_a_fresh_environment(
    facenet_package: Path, tmp_path: Path, face: Path
) -> None:
    python = _environment(facenet_package, tmp_path / "venv")
    done = subprocess.run(
        [python, "-I", "-c", _example(facenet_package), face, face],
        cwd=facenet_package, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "dimensions: 512" in done.stdout
    assert "(same person)" in done.stdout
    blocked = [python, "-I", "-c", "import facemodels"]
    assert subprocess.run(blocked, capture_output=True, check=False).returncode != 0


def test_the_cards_example_fits_points_in_a_fresh_environment(
    dlib_package: Path, tmp_path: Path, face: Path
) -> None:
    python = _environment(dlib_package, tmp_path / "venv")
    done = subprocess.run(
        [python, "-I", "-c", _example(dlib_package), face, "10", "10", "80", "80"],
        cwd=dlib_package, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    points = np.array([line.split() for line in done.stdout.splitlines()], float)
    image = np.asarray(Image.open(face).convert("RGB"))
    ours = open_package(dlib_package).predictor().fit([image], np.array([[10, 10, 80, 80.0]]))
    assert np.array_equal(points[:, 1:], ours[0])


def test_the_cards_example_finds_faces_in_a_fresh_environment(
    mtcnn_package: Path, tmp_path: Path
) -> None:
    scene = detection_split("test", seed=3, scenes=1, image_size=200, workers=1).images[0]
    Image.fromarray(scene).save(tmp_path / "scene.png")
    python = _environment(mtcnn_package, tmp_path / "venv")
    done = subprocess.run(
        [python, "-I", "-c", _example(mtcnn_package), tmp_path / "scene.png"],
        cwd=mtcnn_package, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = [line.replace(",", " ").split() for line in done.stdout.splitlines()]
    (own,) = open_package(mtcnn_package).predictor().detect([scene])
    expected = [
        [s, *b, *p.ravel()] for s, b, p in zip(own.scores, own.boxes, own.points, strict=True)
    ]
    np.testing.assert_allclose(np.array(found, float), expected, atol=1e-3)


def test_config_says_how_to_build_and_feed_the_network(facenet_package: Path) -> None:
    config = yaml.safe_load((facenet_package / "config.yaml").read_text())
    assert config["network"] == {**FACENET, "crop": ""}
    assert config["preprocessing"]["size"] == [80, 80]
    assert config["runtimes"] == ["onnx", "torch"]


@pytest.mark.full
def test_pip_installs_the_requirements_into_a_fresh_environment(
    facenet_package: Path, tmp_path: Path, face: Path
) -> None:
    """The real thing: needs a package index, hence not in `make test`."""
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv/bin/python"
    install = [python, "-m", "pip", "install", "-q", "-r", facenet_package / "requirements.txt"]
    subprocess.run(install, check=True)
    done = subprocess.run(
        [python, "-I", "-c", _example(facenet_package), face],
        cwd=facenet_package, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "dimensions: 512" in done.stdout

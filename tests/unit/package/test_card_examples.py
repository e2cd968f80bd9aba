"""The script in a model card gives what the server gives, whatever kind of picture it reads."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from facemodels import imaging
from facemodels.data.sample.generate import detection_split
from facemodels.imaging.picture import DECODING
from facemodels.models import architecture
from facemodels.package.build import build
from facemodels.package.load import open_package
from facemodels.training.weights import save_state

from .conftest import content

SCENES = 9  # in six kinds of files: 54 pictures


@pytest.fixture(scope="module")
def yolov8_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With random weights and no threshold, so that everything is a face."""
    folder, network = tmp_path_factory.mktemp("yolov8"), {"scale": "n", "image_size": 64}
    torch.manual_seed(0)
    save_state(
        architecture("detection", "yolov8").of(network).build().state_dict(), folder / "model.pt"
    )
    validation = {"metrics": {"ap50": 0.0}, "threshold": 0.0}
    described = content(folder, "det-yolov8-v1.0.0", network, validation=validation)
    return build(described, tmp_path_factory.mktemp("packages") / "yolov8-v1.0.0")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Scenes as each kind of file that a decoder can read in two ways."""
    folder = tmp_path_factory.mktemp("pictures")
    made = []
    split = detection_split("test", seed=3, scenes=SCENES, image_size=200, workers=1)
    for number, scene in enumerate(split.images):
        image = Image.fromarray(np.array(scene)[: 200 - 18 * number])
        grey = np.asarray(image.convert("L")).astype(np.uint16) * 200 + 77
        soft = image.convert("RGBA")
        soft.putalpha(image.convert("L"))
        exif = Image.Exif()
        exif[0x0112] = 6
        files: Mapping[str, tuple[Any, dict[str, Any]]] = {
            "plain.png": (image, {}), "turned.jpg": (image, {"exif": exif}),
            "soft.png": (soft, {}), "deep.png": (Image.fromarray(grey), {}),
            "soft.webp": (soft, {"lossless": True}), "cmyk.jpg": (image.convert("CMYK"), {}),
        }  # fmt: skip
        for name, (picture, options) in files.items():
            made.append(folder / f"{number}-{name}")
            picture.save(made[-1], **options)
    return made


def numbers(package: Path, *arguments: object, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the card's script prints in the folder of the package, in this process."""
    script = (package / "README.md").read_text().split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(package)
    monkeypatch.setattr(sys, "argv", ["example.py", *map(str, arguments)])
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
        exec(compile(script, "example.py", "exec"), {"__name__": "__main__"})  # noqa: S102
    return printed.getvalue().replace(",", " ").splitlines()


@pytest.mark.parametrize("scenes", [2, pytest.param(SCENES, marks=pytest.mark.full)])
@pytest.mark.parametrize("kind", ["yolov8_package", "mtcnn_package"])
def test_a_detectors_script_finds_what_the_server_finds(
    kind: str, scenes: int, pictures: list[Path], request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    folder: Path = request.getfixturevalue(kind)
    package = open_package(folder)
    predictor = package.predictor()
    seen = 0
    for picture in pictures[: len(pictures) * scenes // SCENES]:
        lines = numbers(folder, picture, monkeypatch=monkeypatch)
        (own,) = predictor.detect([imaging.decode(picture)])
        points = own.points if own.points is not None else np.empty((len(own), 0))
        expected = [
            [score, *box, *point.ravel()]
            for score, box, point in zip(own.scores, own.boxes, points, strict=True)
            if score >= package.config["threshold"]
        ]
        seen += len(expected)
        found = np.array([line.split() for line in lines], float)
        np.testing.assert_allclose(found, np.array(expected), atol=1e-4 + 5e-5)
    assert seen >= scenes


def test_a_recognisers_script_compares_as_the_server_does(
    facenet_package: Path, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = open_package(facenet_package).predictor()
    for one, other in zip(pictures[:6:2], pictures[1:6:2], strict=True):
        lines = numbers(facenet_package, one, other, monkeypatch=monkeypatch)
        vectors = predictor.embed([imaging.decode(one), imaging.decode(other)])
        found = float(lines[1].split()[1])
        assert found == pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-4)


@pytest.mark.parametrize("box", [(), (10.4, 20.6, 120.5, 99.9), (-5, -5.5, 90, 90)])
def test_a_landmark_script_takes_the_box_of_the_server(
    box: tuple[float, ...], dlib_package: Path, pictures: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    predictor = open_package(dlib_package).predictor()
    for picture in pictures[:6]:
        image = imaging.decode(picture)
        taken = np.array([box or (0, 0, image.shape[1], image.shape[0])], np.float32)
        lines = numbers(dlib_package, picture, *box, monkeypatch=monkeypatch)
        found = np.array([line.split()[1:] for line in lines], float)
        np.testing.assert_allclose(found, predictor.fit([image], taken)[0], atol=1e-4)


def test_config_states_everything_before_and_after_the_graph(
    yolov8_package: Path, mtcnn_package: Path, facenet_package: Path, dlib_package: Path
) -> None:
    for folder in (yolov8_package, mtcnn_package, facenet_package, dlib_package):
        config = open_package(folder).config
        assert config["decoding"] == DECODING
        assert config["postprocessing"]["output"]
    after = open_package(yolov8_package).config["postprocessing"]
    assert (after["overlap"], after["most"], after["score_floor"]) == (0.6, 300, 0.001)

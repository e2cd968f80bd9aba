"""Detectors that others made: their outputs are read as their authors' code reads them."""

from __future__ import annotations

import io
import json
import math
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner
from PIL import Image

from facemodels import imaging
from facemodels.cli.main import main
from facemodels.data.sample.generate import detection_split
from facemodels.data.splits import save_group_names
from facemodels.detection.decodes.heads import PictureInput
from facemodels.detection.task import Detections
from facemodels.errors import InputError, ParamsError
from facemodels.importing.checks import require
from facemodels.importing.detector import ExaminedDetector, examine
from facemodels.package.load import open_package
from tests.functional.serving.conftest import Server
from tests.unit.importing import detectors
from tests.unit.importing.detectors import SIDE, STRIDES

PICTURE = PictureInput(
    size=SIDE, color="RGB", mean=(127.5, 127.5, 127.5), scale=(1 / 128, 1 / 128, 1 / 128), fill=0
)
IMAGE = np.random.default_rng(2).integers(0, 256, (40, 90, 3), dtype=np.uint8)


def examined(
    data: bytes, decode: str, picture: PictureInput = PICTURE, **more: Any
) -> ExaminedDetector:
    found = examine(data, "x.onnx", picture, decode, more)
    require(found.checks, "x.onnx")
    return found


def outputs(data: bytes, image: np.ndarray = IMAGE) -> tuple[list[np.ndarray], tuple[float, ...]]:
    """What the file itself says of a letterboxed image, and where the image lies in the square."""
    square, *place = imaging.letterbox(image, SIDE, 0)
    batch = ((square.astype(np.float32) - 127.5) / 128).transpose(2, 0, 1)[None]
    session = onnxruntime.InferenceSession(data)
    return session.run(None, {"x": batch.astype(np.float32)}), tuple(place)


def suppressed(faces: list[tuple], floor: float, limit: float) -> list[tuple]:
    """Greedy suppression, written out; a face is (score, box, points)."""
    kept: list[tuple] = []
    for face in sorted((f for f in faces if f[0] >= floor), key=lambda f: -f[0]):
        if all(overlap(face[1], other[1]) <= limit for other in kept):
            kept.append(face)
    return kept


def overlap(a: Any, b: Any) -> float:
    wide = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    high = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    area = sum((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b))
    return wide * high / max(area - wide * high, 1e-9)


def clipped(box: Any) -> list[float]:
    return [min(max(float(v), 0.0), SIDE) for v in box]


def assert_same(found: Detections, expected: list[tuple], place: tuple[float, ...]) -> None:
    """Faces of the image against faces of the square."""
    scale, left, top = place
    height, width = IMAGE.shape[:2]
    assert len(found) == len(expected) > 5
    for row, (score, box, points) in enumerate(expected):
        assert found.scores[row] == pytest.approx(score, abs=1e-5)
        moved = (np.array(box) - [left, top, left, top]) / scale
        moved = np.clip(moved, 0, [width, height, width, height])
        np.testing.assert_allclose(found.boxes[row], moved, atol=2e-3)
        if points is not None and found.points is not None:
            at = (np.array(points) + 0.5 - [left, top]) / scale - 0.5
            np.testing.assert_allclose(found.points[row], at, atol=2e-3)


def scrfd_of_insightface(
    out: list[np.ndarray], *, points: bool, anchors: int, logit: bool
) -> list[tuple]:
    """InsightFace's scrfd.py (`forward`, `distance2bbox`, `distance2kps`), a cell at a time."""
    faces = []
    for level, stride in enumerate(STRIDES):
        scores, distances = out[level], out[level + 3] * stride
        places = out[level + 6] * stride if points else None
        cells = SIDE // stride
        for row, (y, x, _) in enumerate(product(range(cells), range(cells), range(anchors))):
            cx, cy = x * stride, y * stride
            d = distances[row]
            score = float(scores[row][0])
            score = 1 / (1 + math.exp(-score)) if logit else score
            box = clipped([cx - d[0], cy - d[1], cx + d[2], cy + d[3]])
            five = None
            if places is not None:
                p = places[row]
                five = [(cx + p[2 * i], cy + p[2 * i + 1]) for i in range(5)]
            faces.append((score, box, five))
    return faces


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"points": False},
        {"logit": True},
        {"anchors": 1},
        {"anchors": 1, "logit": True, "points": False},
    ],
)
def test_scrfd_is_decoded_as_insightface_does(form: dict[str, Any]) -> None:
    data = detectors.scrfd(**form)
    found = examined(data, "scrfd")
    full = {"points": True, "anchors": 2, "logit": False, **form}
    assert found.decode is not None
    assert found.decode["strides"] == list(STRIDES)
    assert found.decode["anchors"] == full["anchors"]
    assert found.has_points is full["points"]
    out, place = outputs(data)
    expected = suppressed(scrfd_of_insightface(out, **full), 0.001, 0.4)
    (got,) = found.model(threads=1).detect([IMAGE])
    assert_same(got, expected[:300], place)


def retinaface_of_biubug6(out: list[np.ndarray], *, logit: bool) -> list[tuple]:
    """Pytorch_Retinaface: PriorBox and decode of box_utils.py, in parts of the picture's side."""
    loc, conf, landms = (one[0] for one in out)
    priors = []
    for stride, sides in zip(STRIDES, ((16, 32), (64, 128), (256, 512)), strict=True):
        for i, j in product(range(math.ceil(SIDE / stride)), repeat=2):
            for side in sides:
                share = side / SIDE
                priors.append(((j + 0.5) * stride / SIDE, (i + 0.5) * stride / SIDE, share, share))
    faces = []
    for (cx, cy, w, h), place, classes, five in zip(priors, loc, conf, landms, strict=True):
        x, y = cx + place[0] * 0.1 * w, cy + place[1] * 0.1 * h
        wide, high = w * math.exp(place[2] * 0.2), h * math.exp(place[3] * 0.2)
        box = [x - wide / 2, y - high / 2, x + wide / 2, y + high / 2]
        score = float(classes[1])
        if logit:
            score = 1 / (1 + math.exp(float(classes[0]) - score))
        points = [
            ((cx + five[2 * i] * 0.1 * w) * SIDE, (cy + five[2 * i + 1] * 0.1 * h) * SIDE)
            for i in range(5)
        ]
        faces.append((score, clipped(np.array(box) * SIDE), points))
    return faces


@pytest.mark.parametrize("logit", [False, True])
def test_retinaface_is_decoded_as_its_authors_do(logit: bool) -> None:
    data = detectors.retinaface(logit=logit)
    found = examined(data, "retinaface")
    assert found.decode is not None
    assert found.decode["score"] == ("logit" if logit else "probability")
    out, place = outputs(data)
    expected = suppressed(retinaface_of_biubug6(out, logit=logit), 0.001, 0.4)
    (got,) = found.model(threads=1).detect([IMAGE])
    assert_same(got, expected, place)


@pytest.mark.parametrize("width", [15, 20])
def test_a_yolov8_with_points_is_decoded(width: int) -> None:
    data = detectors.yolo(width)
    out, place = outputs(data)
    each = (width - 5) // 5
    faces = []
    for x, y, w, h, score, *rest in out[0][0].T.astype(float):
        points = [(rest[each * i], rest[each * i + 1]) for i in range(5)]
        faces.append((score, clipped([x - w / 2, y - h / 2, x + w / 2, y + h / 2]), points))
    (got,) = examined(data, "yolov8").model(threads=1).detect([IMAGE])
    assert_same(got, suppressed(faces, 0.001, 0.6), place)


def test_what_the_shapes_do_not_tell_can_be_stated() -> None:
    found = examined(detectors.scrfd(), "scrfd", score_floor=0.3, iou_threshold=0.9)
    (few,) = found.model(threads=1).detect([IMAGE])
    assert (few.scores >= 0.3).all()
    with pytest.raises(ParamsError, match="iou_threshold"):
        examined(detectors.scrfd(), "scrfd", iou_threshold=2)
    with pytest.raises(InputError, match="priors"):
        examined(detectors.retinaface(), "retinaface", strides=[8, 16], sides=[[16], [32]])


@pytest.mark.parametrize("color", ["RGB", "BGR"])
def test_the_picture_is_scaled_in_the_networks_order_of_channels(color: str) -> None:
    picture = PictureInput(size=32, color=color, mean=(1, 2, 3), scale=(1, 0.5, 0.25))
    square = np.zeros((32, 32, 3), np.uint8)
    square[:] = (10, 20, 30)
    first = 10 if color == "RGB" else 30
    expected = [first - 1, (20 - 2) * 0.5, (40 - first - 3) * 0.25]
    np.testing.assert_allclose(picture(square)[0, :, 5, 7], expected)
    assert PictureInput.of_config(picture.as_config()) == picture


@pytest.mark.parametrize(
    ("data", "decode", "size"),
    [
        (detectors.scrfd(), "retinaface", SIDE),
        (detectors.scrfd(), "yolov8", SIDE),
        (detectors.retinaface(), "scrfd", SIDE),
        (detectors.yolo(), "scrfd", SIDE),
    ],
)
def test_a_decode_for_other_outputs_is_refused_with_what_it_wants(
    data: bytes, decode: str, size: int
) -> None:
    found = examine(data, "x.onnx", PICTURE, decode, {})
    assert found.graph == b""
    with pytest.raises(InputError, match=f"Those of {decode} are"):
        require(found.checks, "x.onnx")


def test_a_free_size_is_the_stated_one() -> None:
    found = examined(detectors.scrfd(free=True), "scrfd", PICTURE.model_copy(update={"size": 96}))
    assert found.picture is not None
    assert found.picture.size == 96
    (got,) = found.model(threads=1).detect([IMAGE])
    assert len(got) > 0


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    for name in ("val", "test"):
        detection_split(name, seed=1, scenes=3, image_size=96, workers=1).save(folder / name)
    save_group_names(folder, ("light", "medium", "dark"))
    return folder


@pytest.fixture(scope="module")
def package(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small SCRFD, imported by the command."""
    folder = tmp_path_factory.mktemp("import")
    (folder / "x.onnx").write_bytes(detectors.scrfd())
    done = CliRunner().invoke(
        main,
        ["import", "--onnx", str(folder / "x.onnx"), "--name", "detection-s", "--version", "1.0.0",
         "--decode", "scrfd", "--size", "64", "--fill", "0", "--colour", "RGB", "--mean", "127.5",
         "--scale", "0.0078125", "--license", "MIT", "--data", str(scenes), "--threads", "1",
         "--output", str(folder / "s-v1.0.0"), "--dry-run"],
    )  # fmt: skip
    assert done.exit_code == 4, (
        done.output
    )  # it has random weights, and the gates are the repository's
    assert "ap50" in done.output
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        done = CliRunner().invoke(
            main,
            ["import", "--onnx", "x.onnx", "--name", "detection-s", "--version", "1.0.0",
             "--decode", "scrfd", "--size", "64", "--fill", "0", "--colour", "RGB",
             "--mean", "127.5", "--scale", "0.0078125", "--license", "MIT", "--data", str(scenes),
             "--threads", "1", "--json"],
        )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["id"] == "det-s-v1.0.0"
    return folder / "models/detection/s-v1.0.0"


@pytest.fixture(scope="module")
def server(package: Path) -> Iterator[Server]:
    command = Path(sys.executable).with_name("facemodels")
    process = subprocess.Popen(
        [command, "serve", package, "--port", "0", "--threads", "1"],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    served = Server(process)
    yield served
    served.stop(signal.SIGKILL)


def test_an_imported_detector_is_served_with_its_points(package: Path, server: Server) -> None:
    opened = open_package(package)
    assert opened.runtimes == ("graphs",)
    assert opened.metadata["output_shape"] == [0, 15]
    assert opened.metadata["training"]["origin"] == "imported"
    (expected,) = opened.predictor(threads=1).detect([IMAGE])
    stream = io.BytesIO()
    Image.fromarray(IMAGE).save(stream, "PNG")
    answer = server.post(
        "/api/detect?threshold=0", content=stream.getvalue(), headers={"content-type": "image/png"}
    )
    assert answer.status_code == 200, answer.text
    faces = answer.json()["results"][0]["faces"]
    assert len(faces) == len(expected)
    np.testing.assert_allclose([face["box"] for face in faces], expected.boxes, atol=0.01)
    assert expected.points is not None
    np.testing.assert_allclose([face["points"] for face in faces], expected.points, atol=0.01)


def test_the_suite_of_packages_passes_whatever_options_of_pytest_the_user_has(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from facemodels.pipeline.benchmark import run_suite

    monkeypatch.setenv("PYTEST_ADDOPTS", "-p a_plugin_of_the_user")
    monkeypatch.setenv("PYTEST_PLUGINS", "another")
    suite = Path(__file__).parents[2] / "model_tests"
    assert run_suite(open_package(package), suite, package.parent)

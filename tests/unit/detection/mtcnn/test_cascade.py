from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from facenet_pytorch import MTCNN
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from tests.conftest import SHARED

from facemodels.data.sample import generate
from facemodels.detection.mtcnn.cascade import Cascade, decode
from facemodels.detection.task import Detections, served_graphs
from facemodels.errors import InputError, ParamsError

from .conftest import AUTHORS

SETS = {
    "lfw": "lfw/lfw-deepfunneled/*/*.jpg",
    "facemask853": "facemask853/images/*",
    "afw": "300w/afw/*.jpg",
    "helen": "300w/helen/testset/*.jpg",
}
# Pictures in which several boxes have the best score of a face; kept is one or another of them,
# 0.5 to 12 px apart, by the order in which the sort leaves equal scores.
TIED = (
    *(f"facemask853/images/maksssksksss{number}.jpg" for number in (19, 240, 253, 336)),
    "300w/helen/testset/3059991235_1.jpg",
    "300w/helen/trainset/2204494382_1.jpg",
)


@pytest.fixture(scope="module")
def original() -> MTCNN:
    return MTCNN(select_largest=False, keep_all=True)


@pytest.fixture(scope="module")
def scenes() -> list[NDArray[np.uint8]]:
    return list(
        generate.detection_split("test", seed=3, scenes=6, image_size=200, workers=1).images
    )


def assert_as_facenet_pytorch(found: Detections, original: MTCNN, image: NDArray[np.uint8]) -> None:
    boxes, scores, points = original.detect(image, landmarks=True)
    if boxes is None:
        assert len(found) == 0
        return
    limit = np.array([image.shape[1], image.shape[0]] * 2)
    expected = (np.asarray(values, np.float32) for values in (boxes, scores, points))
    boxes, scores, points = expected  # it gives arrays of objects
    np.testing.assert_allclose(found.boxes, np.clip(boxes, 0, limit), rtol=0, atol=0.01)
    np.testing.assert_allclose(found.scores, scores, rtol=0, atol=1e-4)
    np.testing.assert_allclose(found.points, points, rtol=0, atol=0.01)


def assert_same(one: Detections, other: Detections) -> None:
    np.testing.assert_array_equal(one.boxes, other.boxes)
    np.testing.assert_array_equal(one.scores, other.scores)
    np.testing.assert_array_equal(one.points, other.points)


def test_it_finds_in_scenes_what_facenet_pytorch_finds(
    cascade: Cascade, original: MTCNN, scenes: list[NDArray[np.uint8]]
) -> None:
    found = cascade.detect(scenes)
    assert sum(map(len, found)) >= len(scenes)
    for faces, image in zip(found, scenes, strict=True):
        assert_as_facenet_pytorch(faces, original, image)


def test_where_boxes_of_two_levels_are_alike_it_finds_what_facenet_pytorch_finds(
    cascade: Cascade, scenes: list[NDArray[np.uint8]]
) -> None:
    close = Cascade(cascade.networks, AUTHORS.model_copy(update={"factor": 0.9}))
    original = MTCNN(select_largest=False, keep_all=True, factor=0.9)
    assert_as_facenet_pytorch(close.detect(scenes[:1])[0], original, scenes[0])


@pytest.mark.parametrize("name", SETS)
def test_it_finds_in_real_pictures_what_facenet_pytorch_finds(
    cascade: Cascade, original: MTCNN, name: str
) -> None:
    paths = sorted(SHARED.glob(SETS[name]))
    if not paths:
        pytest.skip(f"{SHARED} is absent")
    images = [np.asarray(Image.open(p).convert("RGB")) for p in random.Random(3).sample(paths, 8)]
    found = cascade.detect(images)
    assert sum(map(len, found)) >= 6
    for faces, image in zip(found, images, strict=True):
        assert_as_facenet_pytorch(faces, original, image)


@pytest.mark.parametrize("name", TIED)
def test_of_boxes_with_one_score_it_keeps_the_one_that_facenet_pytorch_keeps(
    cascade: Cascade, original: MTCNN, name: str
) -> None:
    if not (SHARED / name).is_file():
        pytest.skip(f"{SHARED / name} is absent")
    image = np.asarray(Image.open(SHARED / name).convert("RGB"))
    assert_as_facenet_pytorch(cascade.detect([image])[0], original, image)


def test_points_stand_as_the_eyes_nose_and_mouth_of_a_face_do(
    cascade: Cascade, scenes: list[NDArray[np.uint8]]
) -> None:
    for faces in cascade.detect(scenes):
        assert faces.points is not None
        assert faces.points.shape == (len(faces), 5, 2)
        left, right, nose, _, _ = np.moveaxis(faces.points, 1, 0)
        mouth = faces.points[:, 3:].mean(axis=1)
        assert (left[:, 0] < right[:, 0]).all()
        assert (nose[:, 1] < mouth[:, 1]).all()
        assert (faces.points[:, :2, 1].mean(axis=1) < nose[:, 1]).all()


shapes = st.tuples(st.integers(1, 90), st.integers(1, 90))


@settings(max_examples=15)
@given(sizes=st.lists(shapes, max_size=4), seed=st.integers(0, 100), at=st.integers(0, 4))
def test_each_picture_of_a_batch_gets_the_answer_that_it_gets_alone(
    cascade: Cascade, scenes: list[NDArray[np.uint8]], sizes: list[Any], seed: int, at: int
) -> None:
    rng = np.random.default_rng(seed)
    batch = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    batch.insert(min(at, len(batch)), scenes[seed % len(scenes)])
    for image, together in zip(batch, cascade.detect(batch), strict=True):
        (alone,) = cascade.detect([image])
        assert_same(together, alone)


def test_a_batch_of_which_some_have_no_face_is_answered(
    cascade: Cascade, scenes: list[NDArray[np.uint8]]
) -> None:
    blank = np.zeros((64, 48, 3), np.uint8)
    found = cascade.detect([blank, scenes[0], blank])
    assert [len(faces) for faces in found] == [0, len(found[1]), 0]
    assert len(found[1]) > 0
    assert found[0].points is not None
    assert found[0].points.shape == (0, 5, 2)
    assert cascade.detect([]) == []


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 500), (500, 1), (19, 19), (20, 20), (20, 700), (21, 13)]
)
def test_small_and_narrow_pictures_are_searched(cascade: Cascade, shape: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    (found,) = cascade.detect([image])
    assert (found.boxes[:, 2:] <= [shape[1], shape[0]]).all()


def test_grey_and_opaque_pictures_are_read_as_rgb(
    cascade: Cascade, scenes: list[NDArray[np.uint8]]
) -> None:
    grey = np.asarray(Image.fromarray(scenes[0]).convert("L"))
    alpha = np.dstack([scenes[0], np.full(scenes[0].shape[:2], 255, np.uint8)])
    one, same, rgb, rgba = cascade.detect([grey, np.dstack([grey] * 3), scenes[0], alpha])
    assert_same(one, same)
    assert_same(rgb, rgba)


def test_a_batch_of_grey_transparent_and_empty_pictures_gives_what_each_gives_alone(
    cascade: Cascade, scenes: list[NDArray[np.uint8]]
) -> None:
    scene = scenes[1]
    grey = np.asarray(Image.fromarray(scene).convert("L"))
    half = np.dstack([scene, np.full(scene.shape[:2], 128, np.uint8)])
    clear = np.dstack([scene, np.zeros(scene.shape[:2], np.uint8)])
    batch = [grey, clear, grey[:, :, None], half[20:, 10:], np.zeros((30, 90, 3), np.uint8), scene]
    found = cascade.detect(batch)
    for image, together in zip(batch, found, strict=True):
        assert_same(together, cascade.detect([image])[0])
    assert_same(found[0], found[2])
    assert [len(found[1]), len(found[4])] == [0, 0]
    assert len(found[5]) > 0


def test_a_huge_picture_is_searched_in_a_reduced_form(
    cascade: Cascade, scenes: list[NDArray[np.uint8]]
) -> None:
    large = np.asarray(Image.fromarray(scenes[0]).resize((2400, 2400), Image.Resampling.BILINEAR))
    start = time.process_time()
    (found,) = cascade.detect([large])
    assert time.process_time() - start < 30
    (small,) = cascade.detect([scenes[0]])
    best = small.boxes[0] * 12
    assert np.abs(found.boxes - best).max(axis=1).min() < 0.1 * (best[2] - best[0])
    nearest = np.abs(found.boxes - best).max(axis=1).argmin()
    assert found.points is not None
    assert small.points is not None
    expected = (small.points[0] + 0.5) * 12 - 0.5
    assert np.abs(found.points[nearest] - expected).max() < 0.1 * (best[2] - best[0])


def test_a_picture_full_of_proposals_comes_to_an_end(cascade: Cascade) -> None:
    """Networks that see a face in every crop of a busy picture."""
    keen = AUTHORS.model_copy(update={"thresholds": (0.0, 0.0, 0.0)})
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    (found,) = Cascade(cascade.networks, keen).detect([noise])
    assert 0 < len(found) <= 2048


def test_the_steps_are_found_by_the_decode_of_a_package(
    cascade: Cascade, scenes: list[NDArray[np.uint8]]
) -> None:
    config = {"decode": {"name": "mtcnn", **AUTHORS.model_dump(mode="json")}}
    served = served_graphs(cascade.networks, config, {})
    assert_same(served.detect(scenes[:1])[0], cascade.detect(scenes[:1])[0])
    with pytest.raises(InputError, match="only mtcnn"):
        served_graphs(cascade.networks, {"decode": {"name": "os.system"}}, {})
    with pytest.raises(ParamsError, match="min_face_size"):
        decode(cascade.networks, {"decode": {**config["decode"], "min_face_size": 3}})


def test_the_steps_need_no_torch(graphs_folder: Path) -> None:
    code = (
        "import sys\n"
        "from facemodels.detection.mtcnn.cascade import Cascade\n"
        "sys.exit('imported torch' if {'torch', 'cv2'} & sys.modules.keys() else 0)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

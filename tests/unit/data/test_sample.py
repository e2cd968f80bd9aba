"""The procedural faces: repeatable, disjoint, well formed."""

import dataclasses
import importlib
import pkgutil
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from facemodels.data import executors
from facemodels.data import sample as sample_package
from facemodels.data.sample.canvas import RESOLUTION, f32
from facemodels.data.sample.generate import (
    GROUPS,
    detection_split,
    identity_number,
    landmark_split,
    recognition_split,
)
from facemodels.data.sample.geometry import landmarks
from facemodels.data.sample.identity import group_of, sample_identity, skin_colour
from facemodels.data.sample.nuisance import sample_nuisance
from facemodels.data.sample.placement import make_face
from facemodels.data.sample.render import render_frontal
from facemodels.data.sample.scene import background
from facemodels.data.sheet import detection_sheet, landmark_sheet, recognition_sheet
from facemodels.data.splits import SPLITS, DetectionSplit, LandmarkSplit, RecognitionSplit
from facemodels.errors import InputError
from facemodels.imaging import face_box

SEED = 5
MIRRORED = ((0, 16), (17, 26), (31, 35), (36, 45), (39, 42), (48, 54), (60, 64))


def draw_scenes(split: str = "train", *, seed: int = SEED, workers: int = 1) -> DetectionSplit:
    return detection_split(split, seed=seed, scenes=5, image_size=160, workers=workers)


def draw_crops(split: str = "train", *, seed: int = SEED, workers: int = 1) -> RecognitionSplit:
    return recognition_split(
        split,
        seed=seed,
        identities=6,
        images_per_identity=2,
        image_size=64,
        folds=2,
        pairs_per_fold=3,
        workers=workers,
    )


def draw_portraits(split: str = "train", *, seed: int = SEED, workers: int = 1) -> LandmarkSplit:
    return landmark_split(split, seed=seed, faces=6, image_size=96, workers=workers)


@pytest.fixture(scope="module")
def scenes() -> DetectionSplit:
    return draw_scenes()


@pytest.fixture(scope="module")
def crops() -> RecognitionSplit:
    return draw_crops()


@pytest.fixture(scope="module")
def portraits() -> LandmarkSplit:
    return draw_portraits()


def describe(array: NDArray[Any]) -> tuple[tuple[int, ...], str]:
    return array.shape, array.dtype.name


def assert_same_split(one: Any, other: Any) -> None:
    for field in dataclasses.fields(one):
        first, second = getattr(one, field.name), getattr(other, field.name)
        if isinstance(first, np.ndarray):
            assert first.dtype == second.dtype, field.name
        assert np.array_equal(first, second), field.name


def test_a_second_run_gives_the_same_bits(
    scenes: DetectionSplit, crops: RecognitionSplit, portraits: LandmarkSplit
) -> None:
    assert_same_split(scenes, draw_scenes())
    assert_same_split(crops, draw_crops())
    assert_same_split(portraits, draw_portraits())


def test_the_number_of_workers_does_not_change_a_bit(
    scenes: DetectionSplit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executors, "_LEAST_A_WORKER", 1)
    assert_same_split(scenes, draw_scenes(workers=2))


def test_a_longer_split_begins_with_the_shorter_one(portraits: LandmarkSplit) -> None:
    longer = landmark_split("train", seed=SEED, faces=7, image_size=96, workers=1)
    assert np.array_equal(longer.images[:6], portraits.images)
    assert np.array_equal(longer.points[:6], portraits.points)


def test_seeds_and_splits_give_different_pictures(portraits: LandmarkSplit) -> None:
    for other in (draw_portraits(seed=SEED + 1), draw_portraits("val")):
        assert not any(
            np.array_equal(one, two)
            for one, two in zip(portraits.images, other.images, strict=True)
        )


def test_a_seed_gives_its_own_population() -> None:
    one, other = sample_identity(1, 7), sample_identity(2, 7)
    assert one.head != other.head
    assert one.skin.group == other.skin.group == group_of(7)


def test_splits_share_no_person() -> None:
    numbers = {split: set(draw_crops(split).identities.tolist()) for split in SPLITS}
    assert sum(map(len, numbers.values())) == len(set().union(*numbers.values())) == 18
    last = [identity_number(split, 999_999) for split in SPLITS]
    first = [identity_number(split, 0) for split in SPLITS]
    assert all(end < start for end, start in zip(last, first[1:], strict=False))


@pytest.mark.parametrize(("split", "index"), [("dev", 0), ("train", 1_000_000), ("train", -1)])
def test_a_person_outside_the_splits_is_refused(split: str, index: int) -> None:
    with pytest.raises(InputError):
        identity_number(split, index)


def test_a_count_below_one_is_refused() -> None:
    with pytest.raises(InputError, match="workers is 0"):
        draw_scenes(workers=0)


def test_arrays_have_the_documented_shapes_and_types(
    scenes: DetectionSplit, crops: RecognitionSplit, portraits: LandmarkSplit
) -> None:
    faces = len(scenes.boxes)
    assert scenes.images.shape == (5, 160, 160, 3)
    assert describe(scenes.boxes) == ((faces, 4), "float32")
    assert describe(scenes.box_image) == ((faces,), "int32")
    assert describe(scenes.box_group) == ((faces,), "int8")
    assert crops.images.shape == (12, 112, 112, 3)
    assert crops.found.all()
    assert describe(crops.identities) == ((12,), "int32")
    assert describe(crops.groups) == ((12,), "int8")
    assert describe(portraits.points) == ((6, 68, 2), "float32")
    assert describe(portraits.boxes) == ((6, 4), "float32")
    assert {s.images.dtype for s in (scenes, crops, portraits)} == {np.dtype(np.uint8)}


def test_every_scene_holds_one_to_four_faces(scenes: DetectionSplit) -> None:
    counts = np.bincount(scenes.box_image, minlength=len(scenes))
    assert counts.min() >= 1
    assert counts.max() <= 4


def test_boxes_lie_inside_the_image_and_apart(scenes: DetectionSplit) -> None:
    assert scenes.boxes.min() >= 0
    assert scenes.boxes.max() <= 159
    for index in range(len(scenes)):
        boxes = scenes.boxes_of(index)
        for one, other in zip(*(boxes[i] for i in np.triu_indices(len(boxes), 1)), strict=True):
            assert np.any(one[:2] >= other[2:]) or np.any(other[:2] >= one[2:])


def test_landmarks_lie_inside_their_boxes(portraits: LandmarkSplit) -> None:
    tolerance = 1e-3
    assert np.all(portraits.points >= portraits.boxes[:, None, :2] - tolerance)
    assert np.all(portraits.points <= portraits.boxes[:, None, 2:] + tolerance)
    assert portraits.boxes.min() >= 0
    assert portraits.boxes.max() <= 95


def test_the_box_that_points_tell_is_the_one_that_is_drawn(portraits: LandmarkSplit) -> None:
    told = np.stack([face_box(points) for points in portraits.points])
    sides = np.ptp(portraits.points, axis=1)[:, [0, 1, 0, 1]]
    off = (told - portraits.boxes) / sides
    np.testing.assert_allclose(off.mean(axis=0), 0, atol=0.06)  # hairlines differ
    assert np.abs(off).max() < 0.2


def test_the_images_left_side_comes_first_in_the_landmarks(portraits: LandmarkSplit) -> None:
    for left, right in MIRRORED:
        assert np.all(portraits.points[:, left, 0] < portraits.points[:, right, 0])
    chin, brows = portraits.points[:, 8, 1], portraits.points[:, 17:27, 1]
    assert np.all(chin[:, None] > brows)


def test_a_frontal_face_has_symmetric_landmarks() -> None:
    identity = sample_identity(SEED, 3)
    points = landmarks(identity, sample_nuisance(np.random.default_rng(0)).expression)
    for left, right in MIRRORED:
        assert points[left] == pytest.approx(points[right] * [-1, 1], abs=1e-6)


def test_skin_tone_groups_take_turns_and_darken(crops: RecognitionSplit) -> None:
    assert np.bincount(crops.groups).tolist() == [4] * len(GROUPS)
    people = [sample_identity(SEED, number) for number in range(30)]
    brightness = [
        np.mean([float(p.skin.colour.mean()) for p in people if p.skin.group == group])
        for group in range(len(GROUPS))
    ]
    assert brightness == sorted(brightness, reverse=True)
    assert float(skin_colour(6.0).mean()) < float(skin_colour(0.0).mean())


def test_pairs_tell_whether_they_show_one_person(crops: RecognitionSplit) -> None:
    people = crops.identities[crops.pairs]
    assert np.array_equal(people[:, 0] == people[:, 1], crops.same)
    assert crops.same.sum() * 2 == len(crops.same)


def test_pictures_of_a_person_differ(crops: RecognitionSplit) -> None:
    assert not np.array_equal(crops.images[0], crops.images[1])


def test_no_plane_is_ever_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    def strict(values: Any) -> Any:
        too_wide = isinstance(values, np.ndarray) and values.dtype == np.float64
        assert not (too_wide and values.size > RESOLUTION), "a plane was promoted to float64"
        return f32(values)

    names = [info.name for info in pkgutil.iter_modules(sample_package.__path__)]
    for name in names:
        module = importlib.import_module(f"{sample_package.__name__}.{name}")
        if hasattr(module, "f32"):
            monkeypatch.setattr(module, "f32", strict)
    rng = np.random.default_rng(0)
    for number in range(8):
        nuisance = sample_nuisance(rng)
        frontal = render_frontal(sample_identity(SEED, number), nuisance)
        for field in dataclasses.fields(frontal):
            assert getattr(frontal, field.name).dtype == np.float32, field.name
        face = make_face(SEED, number, nuisance)
        assert {a.dtype for a in (face.rgba, face.relief, face.points, face.box)} == {
            np.dtype(np.float32)
        }
    assert background(rng, 32).dtype == np.float32
    draw_portraits()


def test_progress_counts_every_picture() -> None:
    finished: list[int] = []
    detection_split("test", seed=1, scenes=3, image_size=96, workers=1, progress=finished.append)
    assert sum(finished) == 3


def test_sheets_are_grids_of_rgb_tiles(
    scenes: DetectionSplit, crops: RecognitionSplit, portraits: LandmarkSplit
) -> None:
    people = recognition_sheet(crops, rows=2, columns=3, tile=40)
    assert describe(people) == ((80, 120, 3), "uint8")
    assert not people[:, 80:].any()  # two images a person leave the third column black
    assert detection_sheet(scenes, rows=2, columns=2, tile=320).shape == (640, 640, 3)
    assert landmark_sheet(portraits, rows=1, columns=6, tile=96).shape == (96, 576, 3)


def test_sheets_draw_on_copies(scenes: DetectionSplit, portraits: LandmarkSplit) -> None:
    before = scenes.images.copy(), portraits.images.copy()
    detection_sheet(scenes, tile=160)
    landmark_sheet(portraits, tile=96)
    assert np.array_equal(scenes.images, before[0])
    assert np.array_equal(portraits.images, before[1])

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facemodels.data.splits import NO_GROUP, DetectionSplit
from facemodels.detection import batches as augment
from facemodels.detection.batches import SceneAugmentation
from facemodels.errors import DataError

SIDE = 64
STILL = SceneAugmentation(flip=0, scale=0, translate=0, hue=0, saturation=0, value=0, mosaic=0)
WILD = SceneAugmentation(
    flip=0.5, scale=0.5, translate=0.3, hue=0.02, saturation=0.5, value=0.4, mosaic=0.5
)


@pytest.fixture
def split() -> DetectionSplit:
    """Six pictures with one white rectangle each on black, which is also the box."""
    rng = np.random.default_rng(0)
    images = np.zeros((6, SIDE, SIDE, 3), dtype=np.uint8)
    corners = np.concatenate([rng.integers(4, 20, (6, 2)), rng.integers(36, 60, (6, 2))], axis=1)
    for image, (x0, y0, x1, y1) in zip(images, corners, strict=True):
        image[y0:y1, x0:x1] = 255
    return DetectionSplit(
        images=images,
        boxes=corners.astype(np.float32),
        box_image=np.arange(6, dtype=np.int32),
        box_group=np.full(6, NO_GROUP, dtype=np.int8),
    )


def white_extent(picture: np.ndarray) -> list[int]:
    rows, columns = np.nonzero(picture.min(axis=2) > 127)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_a_prepared_box_that_is_not_finite_is_refused(
    split: DetectionSplit, tmp_path: Path
) -> None:
    split.boxes[3, 2] = -np.inf
    split.save(tmp_path)
    with pytest.raises(DataError, match="NaN or infinity among its boxes"):
        DetectionSplit.load(tmp_path)


def test_without_augmentation_the_batch_is_the_split(split: DetectionSplit) -> None:
    batch = augment.training_batch(split, np.array([2, 0]), np.random.default_rng(0), STILL)

    np.testing.assert_array_equal(batch.boxes.numpy(), split.boxes[[2, 0]])
    assert batch.box_image.tolist() == [0, 1]
    expected = split.images[[2, 0]].transpose(0, 3, 1, 2) / np.float32(255)
    np.testing.assert_allclose(batch.images.numpy(), expected, atol=1e-6)


def test_flip_moves_boxes_with_the_picture(split: DetectionSplit) -> None:
    picture, boxes = augment.flip(split.images[1], split.boxes_of(1))

    assert boxes.tolist() == [white_extent(picture)]


def test_two_flips_change_nothing(split: DetectionSplit) -> None:
    picture, boxes = augment.flip(*augment.flip(split.images[1], split.boxes_of(1)))

    np.testing.assert_array_equal(picture, split.images[1])
    np.testing.assert_array_equal(boxes, split.boxes_of(1))


@pytest.mark.parametrize("seed", range(20))
def test_boxes_stay_on_the_face_under_scale_and_shift(split: DetectionSplit, seed: int) -> None:
    moving = STILL.model_copy(update={"flip": 0.5, "scale": 0.5, "translate": 0.2})
    index = seed % len(split)

    picture, boxes = augment.augmented(split, index, np.random.default_rng(seed), moving)

    # Half a pixel of the edge is grey after resampling.
    np.testing.assert_allclose(boxes[0], white_extent(picture), atol=1.01)


@pytest.mark.parametrize("seed", range(20))
def test_mosaic_boxes_frame_white_and_stay_in_the_picture(split: DetectionSplit, seed: int) -> None:
    tiles = STILL.model_copy(update={"flip": 0.5, "scale": 0.3, "mosaic": 1.0})

    picture, boxes = augment.augmented(split, 0, np.random.default_rng(seed), tiles)

    assert len(boxes) > 0
    assert boxes.min() >= 0
    assert boxes.max() <= SIDE
    for x0, y0, x1, y1 in boxes:
        inside = picture[int(np.ceil(y0)) : int(y1), int(np.ceil(x0)) : int(x1)]
        assert np.median(inside) > 200


def test_a_mosaic_of_one_picture_without_scaling_is_that_picture_at_half_size(
    split: DetectionSplit,
) -> None:
    single = DetectionSplit(
        split.images[:1], split.boxes[:1], split.box_image[:1], split.box_group[:1]
    )
    tiles = STILL.model_copy(update={"mosaic": 1.0})

    _, boxes = augment.augmented(single, 0, np.random.default_rng(1), tiles)

    widths = boxes[:, 2] - boxes[:, 0]
    assert widths.max() == (split.boxes[0, 2] - split.boxes[0, 0]) / 2


def test_a_face_mostly_outside_is_no_target() -> None:
    picture = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)
    faces = np.array([[0, 0, 20, 20], [30, 30, 50, 50]], dtype=np.float32)
    window = np.array([0, 0, SIDE, SIDE], dtype=np.float32)

    _, kept = augment.place(picture, faces, 1.0, np.array([-16.0, 0.0]), window)

    assert kept.tolist() == [[14, 30, 34, 50]]


def test_a_face_smaller_than_two_pixels_is_no_target() -> None:
    picture = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)
    faces = np.array([[8, 8, 11, 20]], dtype=np.float32)
    window = np.array([0, 0, SIDE, SIDE], dtype=np.float32)

    _, kept = augment.place(picture, faces, 0.5, np.zeros(2), window)

    assert kept.shape == (0, 4)


def test_colour_jitter_keeps_black_black_and_shape() -> None:
    black = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)

    assert not augment.jitter_colour(black, np.random.default_rng(0), WILD).any()


def test_a_batch_is_a_pure_function_of_its_generator(split: DetectionSplit) -> None:
    first, again, other = (
        augment.training_batch(split, np.arange(6), np.random.default_rng([7, step]), WILD)
        for step in (3, 3, 4)
    )

    assert first.images.equal(again.images)
    assert first.boxes.equal(again.boxes)
    assert first.box_image.equal(again.box_image)
    assert not first.images.equal(other.images)


def test_a_batch_without_faces_keeps_its_shapes(split: DetectionSplit) -> None:
    empty = DetectionSplit(split.images, split.boxes[:0], split.box_image[:0], split.box_group[:0])

    batch = augment.training_batch(empty, np.arange(4), np.random.default_rng(0), WILD)

    assert batch.images.shape == (4, 3, SIDE, SIDE)
    assert batch.boxes.shape == (0, 4)


def test_every_epoch_shows_every_picture_once_in_another_order() -> None:
    drawn = np.concatenate([augment.sample(10, 4, seed=0, step=step) for step in range(5)])

    first, second = drawn[:10], drawn[10:]
    assert sorted(first) == sorted(second) == list(range(10))
    assert first.tolist() != second.tolist()


def test_sampling_depends_on_seed_and_step_alone() -> None:
    assert augment.sample(10, 4, seed=1, step=2).tolist() == (
        augment.sample(10, 4, seed=1, step=2).tolist()
    )
    assert augment.sample(10, 4, seed=1, step=2).tolist() != (
        augment.sample(10, 4, seed=2, step=2).tolist()
    )

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facemodels.detection import task as boxes


def random_boxes(seed: int, count: int, side: float = 100) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, side, (count, 2))
    return np.concatenate([low, low + rng.uniform(1, side / 2, (count, 2))], axis=1).astype(
        np.float32
    )


@settings(deadline=None)
@given(
    seed=st.integers(0, 10_000), count=st.integers(0, 200), threshold=st.sampled_from([0.3, 0.6])
)
def test_nms_keeps_what_torchvision_keeps(seed: int, count: int, threshold: float) -> None:
    candidates = random_boxes(seed, count)
    scores = np.random.default_rng(seed + 1).permutation(count).astype(np.float32)

    kept = boxes.nms(candidates, scores, iou_threshold=threshold)

    expected = torchvision.ops.nms(
        torch.from_numpy(candidates), torch.from_numpy(scores), threshold
    )
    np.testing.assert_array_equal(kept, expected.numpy())


def test_nms_stops_at_the_best_max_detections() -> None:
    apart = np.array([[x, 0, x + 5, 5] for x in range(0, 100, 10)], dtype=np.float32)
    scores = np.arange(10, dtype=np.float32)

    assert boxes.nms(apart, scores, max_detections=3).tolist() == [9, 8, 7]


def test_nms_keeps_the_first_of_equal_scores() -> None:
    same = np.array([[0, 0, 10, 10]] * 3, dtype=np.float32)

    assert boxes.nms(same, np.ones(3, dtype=np.float32)).tolist() == [0]


def test_iou_agrees_with_torchvision() -> None:
    many = random_boxes(3, 50)

    expected = torchvision.ops.box_iou(torch.from_numpy(many[:1]), torch.from_numpy(many))
    np.testing.assert_allclose(boxes.iou(many[0], many), expected.numpy()[0], atol=1e-6)


def test_iou_of_empty_boxes_is_zero_not_nan() -> None:
    empty = np.zeros((2, 4), dtype=np.float32)

    assert boxes.iou(empty[0], empty).tolist() == [0, 0]


def test_decode_turns_centre_and_size_into_corners() -> None:
    predictions = np.array([[[50], [40], [20], [10], [0.75]]], dtype=np.float32)

    corners, scores = boxes.decode(predictions)

    assert corners.tolist() == [[[40, 35, 60, 45]]]
    assert scores.tolist() == [[0.75]]


def test_to_input_moves_channels_first_and_scales_to_one() -> None:
    images = np.zeros((1, 2, 2, 3), dtype=np.uint8)
    images[0, 0, 1] = (255, 51, 0)

    planes = boxes.to_input(images)

    assert planes.shape == (1, 3, 2, 2)
    assert planes.dtype == np.float32
    assert planes.flags.c_contiguous
    np.testing.assert_allclose(planes[0, :, 0, 1], [1, 0.2, 0])


def test_postprocess_drops_low_scores_and_duplicates_and_clips_to_the_picture() -> None:
    columns = [
        (95, 50, 20, 20, 0.9),  # overruns the right edge
        (94, 50, 20, 20, 0.8),  # the same face again
        (20, 20, 10, 10, 0.95),
        (50, 80, 10, 10, 0.0001),
    ]
    predictions = np.array([columns], dtype=np.float32).transpose(0, 2, 1)

    (found,) = boxes.postprocess(predictions, 100)

    assert found.boxes.tolist() == [[15, 15, 25, 25], [85, 40, 100, 60]]
    assert found.scores == pytest.approx([0.95, 0.9])


def test_postprocess_of_a_picture_without_faces_is_empty() -> None:
    (found,) = boxes.postprocess(np.zeros((1, 5, 8), dtype=np.float32), 64)

    assert found.scores.shape == (0,)
    assert found.boxes.shape == (0, 4)

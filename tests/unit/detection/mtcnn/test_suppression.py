from __future__ import annotations

import itertools

import numpy as np
import torch
import torchvision
from facenet_pytorch.models.utils.detect_face import nms_numpy
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from facemodels.detection.mtcnn.suppression import suppress

counts = st.one_of(st.integers(0, 60), st.sampled_from([511, 512, 513, 1100]))


def candidates(seed: int, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 100, (count, 2))
    boxes = np.concatenate([low, low + rng.uniform(1, 50, (count, 2))], axis=1)
    return boxes.astype(np.float32), rng.permutation(count).astype(np.float32)


@given(seed=st.integers(0, 1000), count=counts, threshold=st.sampled_from([0.3, 0.5, 0.7]))
def test_by_the_union_it_keeps_what_torchvision_keeps(
    seed: int, count: int, threshold: float
) -> None:
    boxes, scores = candidates(seed, count)
    expected = torchvision.ops.nms(torch.from_numpy(boxes), torch.from_numpy(scores), threshold)
    np.testing.assert_array_equal(suppress(boxes, scores, threshold), expected.numpy())


@given(seed=st.integers(0, 1000), counts=st.lists(st.integers(1, 200), min_size=1, max_size=5))
def test_boxes_of_groups_are_kept_as_if_each_group_were_alone(seed: int, counts: list[int]) -> None:
    boxes, scores = candidates(seed, sum(counts))
    starts = np.cumsum([0, *counts])
    alone = [
        start + suppress(boxes[start:stop], scores[start:stop], 0.3)
        for start, stop in itertools.pairwise(starts)
    ]
    groups = np.repeat(np.arange(len(counts)), counts)
    kept = suppress(boxes, scores, 0.3, groups=groups)
    np.testing.assert_array_equal(kept, np.concatenate(alone))


@given(seed=st.integers(0, 1000), count=st.integers(1, 60))
def test_by_the_smaller_box_it_keeps_what_facenet_pytorch_keeps(seed: int, count: int) -> None:
    boxes, scores = candidates(seed, count)
    expected = nms_numpy(boxes, scores, 0.7, "Min")
    np.testing.assert_array_equal(suppress(boxes, scores, 0.7, overlap="smaller"), expected)


@given(count=st.integers(1, 12), seed=st.integers(0, 100))
def test_of_equal_scores_it_keeps_the_box_that_the_original_keeps(count: int, seed: int) -> None:
    """A crop that two boxes share has one score, and the boxes differ by parts of a pixel."""
    boxes = candidates(seed, 1)[0] + np.linspace(0, 0.5, count, dtype=np.float32)[:, None]
    scores = np.ones(count, np.float32)
    first = torchvision.ops.nms(torch.from_numpy(boxes), torch.from_numpy(scores), 0.7)
    assert suppress(boxes, scores, 0.7)[0] == first[0] == 0
    kept = nms_numpy(boxes, scores, 0.7, "Min")
    np.testing.assert_array_equal(suppress(boxes, scores, 0.7, overlap="smaller"), kept)


@given(count=st.integers(2, 250), levels=st.integers(1, 9), seed=st.integers(0, 1000))
def test_among_many_boxes_of_few_scores_it_keeps_what_the_original_keeps(
    count: int, levels: int, seed: int
) -> None:
    boxes, scores = candidates(seed, count)
    scores = np.floor(scores / count * levels)
    kept = nms_numpy(boxes, scores, 0.7, "Min")
    np.testing.assert_array_equal(suppress(boxes, scores, 0.7, overlap="smaller"), kept)


def test_boxes_without_an_area_cover_nothing() -> None:
    empty = np.zeros((2, 4), np.float32)
    assert suppress(empty, np.ones(2, np.float32), 0.5).tolist() == [0, 1]

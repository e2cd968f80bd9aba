"""WIDER FACE's protocol against a second form of it, written step by step as its tools are."""

from __future__ import annotations

import numpy as np
import pytest

from facemodels.errors import DataError
from facemodels.evaluate import wider

from ..detection.test_metrics import random_case

FACE = np.array([[0.0, 0, 20, 20]])
NONE = np.zeros((0, 4))


def pixels_iou(one, other):
    width = min(one[2], other[2]) - max(one[0], other[0]) + 1
    height = min(one[3], other[3]) - max(one[1], other[1]) + 1
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (one, other)]
    return width * height / (sum(areas) - width * height)


def step_by_step(boxes, scores, truths, counted, thresholds):
    """Every threshold, image and detection in loops: proposals and faces found are counted anew."""
    everything = np.concatenate(scores)
    low, span = everything.min(), everything.max() - everything.min()
    faces = sum(int(flags.sum()) for flags in counted)
    curve = [(0.0, 0.0)]
    for step in range(1, thresholds + 1):
        proposals = hits = 0
        for found, score, truth, flags in zip(boxes, scores, truths, counted, strict=True):
            if not len(truth) or not len(found):
                continue
            taken = set()
            for row in np.argsort(-score, kind="stable"):
                if (score[row] - low) / span < (thresholds - step) / thresholds:
                    break
                overlaps = [pixels_iou(found[row], face) for face in truth]
                best = int(np.argmax(overlaps))
                if overlaps[best] < 0.5:
                    proposals += 1
                elif flags[best]:
                    proposals += 1
                    taken.add(best)
            hits += len(taken)
        curve.append((hits / faces, hits / proposals if proposals else 0.0))
    area, recall = 0.0, 0.0
    for at, (reached, _) in enumerate(curve):
        area += (reached - recall) * max(precision for _, precision in curve[at:])
        recall = reached
    return area


def case(seed: int, levels: int = 0):
    boxes, scores, truths, _ = random_case(seed, n_images=8, levels=levels)
    rng = np.random.default_rng(seed)
    return boxes, scores, truths, [rng.random(len(faces)) < 0.6 for faces in truths]


@pytest.mark.parametrize("levels", [0, 4])
@pytest.mark.parametrize("seed", range(6))
def test_ap_is_what_the_steps_of_the_authors_tools_give(seed, levels):
    found = case(seed, levels)
    expected = step_by_step(*found, thresholds=50)
    assert wider.average_precision(*found, thresholds=50) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_a_thousand_thresholds_are_near_to_every_score_and_enough_of_them_are_the_same(seed):
    found = case(seed)
    exact = wider.average_precision(*found, thresholds=None)
    assert wider.average_precision(*found) == pytest.approx(exact, abs=0.02)
    assert wider.average_precision(*found, thresholds=10**6) == pytest.approx(exact, abs=1e-12)


def test_a_face_that_does_not_count_makes_its_detection_neither_right_nor_false():
    both, far = np.concatenate([FACE, FACE + 100]), np.concatenate([FACE + 100, FACE])
    one = wider.average_precision([far], [[0.9, 0.8]], [both], [[True, False]])
    assert one == 1
    # Where it does not stand among the true boxes, its detection is false.
    assert wider.average_precision([far], [[0.9, 0.8]], [FACE], [[True]]) == 0.5


def test_a_second_detection_of_a_face_is_false():
    twice = np.concatenate([FACE, FACE, FACE + 100])
    two = [np.concatenate([FACE, FACE + 100])]
    found = wider.average_precision([twice], [[0.9, 0.8, 0.7]], two, [[True, True]])
    assert found == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_a_detection_belongs_to_the_face_it_overlaps_most_even_if_that_one_is_taken():
    # COCO would give the second detection to the face beside.
    faces = np.array([[0.0, 0, 20, 20], [6, 0, 26, 20]])
    found = np.array([[0.0, 0, 20, 20], [1, 0, 21, 20]])
    assert wider.average_precision([found], [[0.9, 0.8]], [faces], [[True, True]]) == 0.5


def test_an_image_without_a_true_box_is_left_out():
    args = [FACE, FACE], [[0.5], [0.9]]
    assert wider.average_precision(*args, [FACE, NONE], [[True], []]) == 1
    assert wider.average_precision(*args, [FACE, FACE + 99], [[True], [False]]) == 0.5


def test_pixels_on_the_border_belong_to_a_box():
    # 10 by 10 and 10 by 5 pixels, the border included: an IoU of exactly one half.
    whole, half = np.array([[0.0, 0, 9, 9]]), np.array([[0.0, 0, 9, 4]])
    assert wider.average_precision([half], [[0.9]], [whole], [[True]]) == 1
    assert wider.average_precision([half - [0, 0, 0, 0.1]], [[0.9]], [whole], [[True]]) == 0


def test_scores_may_have_any_scale():
    boxes, scores, truths, counted = case(1)
    other = [10 * score - 3 for score in scores]
    assert wider.average_precision(boxes, other, truths, counted) == pytest.approx(
        wider.average_precision(boxes, scores, truths, counted), abs=1e-3
    )


def test_faces_are_taken_by_their_height():
    highs = np.array([9.9, 10, 49.9, 50, 299, 300, 2000])
    faces = np.stack([highs * 0, highs * 0, highs * 0 + 5, highs], axis=1)
    scales = wider.by_height([faces, NONE])
    assert list(scales) == ["10_50", "50_300", "300_up"]
    assert [flags[0].nonzero()[0].tolist() for flags in scales.values()] == [[1, 2], [3, 4], [5, 6]]
    assert all(len(flags[1]) == 0 for flags in scales.values())
    assert list(wider.by_height([FACE])) == ["10_50"]


def test_nothing_found_has_an_ap_of_0_and_nothing_to_find_is_refused():
    assert wider.average_precision([NONE], [[]], [FACE], [[True]]) == 0
    assert wider.average_precision([NONE], [[]], [FACE], [[True]], thresholds=None) == 0
    with pytest.raises(DataError, match="No face counts"):
        wider.average_precision([FACE], [[0.5]], [FACE], [[False]])
    with pytest.raises(DataError, match="No face counts"):
        wider.average_precision([], [], [], [])
    with pytest.raises(DataError, match="of 1 images for the truth of 2"):
        wider.average_precision([FACE], [[0.5]], [FACE, FACE], [[True], [True]])

import numpy as np
import pytest

from facemodels.detection import coco, metrics
from facemodels.errors import DataError

from .test_metrics import NONE, coco_stats, random_case

SIZES = {"ap_small": (0, 32**2), "ap_medium": (32**2, 96**2), "ap_large": (96**2, 1e10)}


@pytest.mark.parametrize("levels", [0, 5])
@pytest.mark.parametrize("seed", range(5))
def test_ap_agrees_with_that_of_the_matches(seed, levels):
    boxes, scores, truths, _ = random_case(seed, levels=levels)
    found = coco.average_precisions(boxes, scores, truths)
    matches = coco.match(boxes, scores, truths)
    mean, at_50, _ = coco_stats(boxes, scores, truths)

    assert found["ap50_95"] == pytest.approx(metrics.ap50_95(matches), abs=1e-12)
    assert found["ap50"] == pytest.approx(metrics.ap50(matches), abs=1e-12)
    assert (found["ap50_95"], found["ap50"]) == (mean, at_50)


def test_faces_of_one_size_give_that_size_the_whole_ap():
    boxes, scores, truths, _ = random_case(3)  # all sides are below 32 pixels
    for name, scale in (("ap_small", 1), ("ap_medium", 6), ("ap_large", 100)):
        scaled = [[image * scale for image in part] for part in (boxes, truths)]
        areas = np.concatenate([np.prod(t[:, 2:] - t[:, :2], axis=1) for t in scaled[1]])
        low, high = SIZES[name]
        found = coco.average_precisions(scaled[0], scores, scaled[1])
        if ((areas >= low) & (areas <= high)).all():
            others = set(SIZES) - {name}
            assert not others & found.keys()
        assert name in found


def test_nothing_is_printed(capsys):
    boxes, scores, truths, _ = random_case(0)
    coco.average_precisions(boxes, scores, truths)
    assert capsys.readouterr() == ("", "")


def test_a_detector_that_finds_nothing_has_an_ap_of_0():
    face = np.array([[0.0, 0, 10, 10]])
    assert coco.average_precisions([NONE], [[]], [face])["ap50_95"] == 0


def test_no_truth_and_different_lengths_are_refused():
    with pytest.raises(DataError, match="No truth boxes"):
        coco.average_precisions([NONE], [[]], [NONE])
    with pytest.raises(DataError, match="of 1 images do not fit the truth of 2"):
        coco.average_precisions([NONE], [[]], [NONE, NONE])


def overlap(one, other):
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    shared = np.prod(np.maximum(high - low, 0))
    return shared / (np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - shared)


@pytest.mark.parametrize("seed", range(5))
def test_each_detection_takes_the_free_face_with_which_it_overlaps_most(seed):
    boxes, scores, truths, _ = random_case(seed)
    right = []
    for found, score, faces in zip(boxes, scores, truths, strict=True):
        free = set(range(len(faces)))
        for row in np.argsort(-score):
            near = [(overlap(found[row], faces[i]), i) for i in free]
            best, face = max(near, default=(0, None))
            free -= {face} if best >= 0.5 else set()
            right.append((score[row], best >= 0.5))
    matches = coco.match(boxes, scores, truths)
    expected = [tp for _, tp in sorted(right, reverse=True)]
    assert matches.tp[metrics.IOU_50].tolist() == expected
    assert int((matches.truth_score > metrics.NOT_FOUND).sum()) == sum(expected)

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facemodels.detection import coco, metrics
from facemodels.errors import DataError

BOX = np.array([[0.0, 0.0, 10.0, 10.0]])
NONE = np.zeros((0, 4))


def random_case(seed: int, *, n_images: int = 12, n_detections: int = 12, levels: int = 0):
    """Truth boxes, and detections that shift them or fall anywhere.

    Whole coordinates make equal overlaps and exact thresholds common; `levels`
    makes equal scores common.
    """
    rng = np.random.default_rng(seed)
    boxes, scores, truths, groups = [], [], [], []
    for _ in range(n_images):
        n_truth = int(rng.integers(0, 6))
        corner = rng.integers(0, 60, (n_truth, 2))
        truth = np.concatenate([corner, corner + rng.integers(4, 30, (n_truth, 2))], axis=1)
        n_found = int(rng.integers(0, n_detections + 1))
        corner = rng.integers(0, 60, (n_found, 2))
        found = np.concatenate([corner, corner + rng.integers(4, 30, (n_found, 2))], axis=1)
        if n_truth:
            near = rng.random(n_found) < 0.7
            picked = truth[rng.integers(0, n_truth, n_found)]
            found[near] = picked[near] + rng.integers(-1, 2, (n_found, 4))[near]
        score = rng.random(n_found)
        boxes.append(found.astype(np.float64))
        scores.append(np.ceil(score * levels) / levels if levels else score)
        truths.append(truth.astype(np.float64))
        groups.append(rng.integers(-1, 3, n_truth).astype(np.int8))
    return boxes, scores, truths, groups


def coco_stats(boxes, scores, truths):
    """AP50-95, AP50 and precision (T, 101) of pycocotools."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def xywh(box):
        return [float(v) for v in (box[0], box[1], box[2] - box[0], box[3] - box[1])]

    annotations = []
    for image, truth in enumerate(truths):
        for box in truth:
            x, y, w, h = xywh(box)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": 1,
                    "bbox": [x, y, w, h],
                    "area": w * h,
                    "iscrowd": 0,
                }
            )
    results = [
        {"image_id": image, "category_id": 1, "bbox": xywh(box), "score": float(score)}
        for image in range(len(truths))
        for box, score in zip(boxes[image], scores[image], strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": i} for i in range(len(truths))],
            "annotations": annotations,
            "categories": [{"id": 1, "name": "face"}],
        }
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[0], evaluation.stats[1], evaluation.eval["precision"][:, :, 0, 0, 2]


@pytest.mark.parametrize(("n_detections", "levels"), [(12, 0), (12, 5), (130, 0)])
@pytest.mark.parametrize("seed", range(8))
def test_ap_agrees_with_pycocotools(seed, n_detections, levels):
    boxes, scores, truths, _ = random_case(seed, n_detections=n_detections, levels=levels)
    mean, at_50, precision = coco_stats(boxes, scores, truths)
    matches = coco.match(boxes, scores, truths)

    assert metrics.ap50_95(matches) == pytest.approx(mean, abs=1e-12)
    assert metrics.ap50(matches) == pytest.approx(at_50, abs=1e-12)
    for index in range(len(metrics.IOU_THRESHOLDS)):
        expected = precision[index].mean()
        assert metrics.average_precision(matches, index) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("order", "expected"), [([0, 1], 2), ([1, 0], 1)])
def test_of_equal_overlaps_the_last_face_is_taken(order, expected):
    # The first detection lies between two faces, the second on face 0.
    faces = np.array([[0.0, 0, 10, 10], [4, 0, 14, 10]])[order]
    boxes, scores = [np.array([[2.0, 0, 12, 10], [0, 0, 10, 10]])], [[0.9, 0.8]]
    matches = coco.match(boxes, scores, [faces])

    assert matches.tp[metrics.IOU_50].sum() == expected
    _, at_50, _ = coco_stats(boxes, scores, [faces])
    assert metrics.ap50(matches) == pytest.approx(at_50, abs=1e-12)


def test_the_thresholds_are_those_of_pycocotools():
    from pycocotools.cocoeval import Params

    params = Params(iouType="bbox")
    np.testing.assert_array_equal(metrics.IOU_THRESHOLDS, params.iouThrs)
    np.testing.assert_array_equal(metrics.RECALL_POINTS, params.recThrs)


@pytest.mark.parametrize("bad", [[0, 0, 1, 1], [[0, 0, 1]], [[0, 0, np.nan, 1]]])
def test_bad_boxes_are_refused(bad):
    with pytest.raises(DataError):
        coco.match([bad], [[0.5]], [BOX])
    with pytest.raises(DataError):
        coco.average_precisions([BOX], [[0.5]], [bad])


@pytest.mark.parametrize("empty", [[3.0, 3, 3, 3], [8, 8, 2, 2]])
def test_a_box_without_area_finds_nothing_and_is_not_found(empty):
    assert not coco.match([[empty]], [[0.5]], [BOX]).tp.any()
    assert not coco.match([[empty]], [[0.5]], [[empty]]).tp.any()


@pytest.mark.parametrize("seed", range(5))
def test_a_resample_equals_matching_the_drawn_images_anew(seed):
    boxes, scores, truths, groups = random_case(seed)
    matches = coco.match(boxes, scores, truths, groups)
    drawn = np.random.default_rng(seed).integers(0, len(truths), len(truths))
    anew = coco.match(*[[values[i] for i in drawn] for values in (boxes, scores, truths, groups)])

    assert metrics.ap50(matches, images=drawn) == pytest.approx(metrics.ap50(anew), abs=1e-12)
    assert metrics.ap50_95(matches, images=drawn) == pytest.approx(metrics.ap50_95(anew), abs=1e-12)
    assert metrics.rates_at(matches, 0.4, images=drawn) == metrics.rates_at(anew, 0.4)
    assert metrics.recall_by_group(matches, 0.4, images=drawn) == metrics.recall_by_group(anew, 0.4)


@pytest.mark.parametrize("levels", [0, 4])
@pytest.mark.parametrize("seed", range(5))
def test_best_f1_is_the_best_of_every_score(seed, levels):
    matches = coco.match(*random_case(seed, levels=levels))
    threshold = metrics.best_f1_threshold(matches)
    f1 = {float(s): metrics.rates_at(matches, float(s)).f1 for s in matches.scores}

    assert f1[threshold] == max(f1.values())
    assert threshold == max(s for s in f1 if f1[s] == f1[threshold])


@given(seed=st.integers(0, 2**32 - 1), levels=st.sampled_from([0, 3]))
@settings(max_examples=40, deadline=None)
def test_properties(seed, levels):
    boxes, scores, truths, groups = random_case(seed, n_images=5, levels=levels)
    truths[0], groups[0] = BOX, np.zeros(1, np.int8)
    matches = coco.match(boxes, scores, truths, groups)
    by_threshold = [metrics.average_precision(matches, t) for t in range(10)]
    curve = metrics.pr_curve(matches)

    assert all(0 <= ap <= 1 for ap in by_threshold)
    assert metrics.ap50_95(matches) == pytest.approx(np.mean(by_threshold))
    assert np.all(np.diff(curve.confidence) < 0)
    assert np.all(np.diff(curve.recall) >= 0)
    # Only the order of scores matters.
    again = coco.match(boxes, [np.exp(3 * s) for s in scores], truths, groups)
    np.testing.assert_array_equal(again.tp, matches.tp)
    # Each truth box is found once, so the boxes found are the true positives.
    for point in (0.0, 0.3, 0.7):
        found = int((matches.truth_score >= point).sum())
        assert metrics.rates_at(matches, point).recall == found / len(matches.truth_score)


def test_recall_by_group_counts_labelled_faces():
    far = BOX + 100
    matches = coco.match(
        [np.concatenate([BOX, far])],
        [[0.9, 0.4]],
        [np.concatenate([BOX, far, BOX + 200, BOX + 300])],
        [np.array([0, 1, 1, -1], np.int8)],
    )
    assert metrics.recall_by_group(matches, 0.3) == {
        0: metrics.GroupRecall(recall=1.0, n_truth=1),
        1: metrics.GroupRecall(recall=0.5, n_truth=2),
    }
    assert metrics.recall_by_group(matches, 0.4)[1].recall == 0.5  # at the threshold: kept
    assert metrics.recall_by_group(matches, 0.5)[1].recall == 0


def test_a_second_box_on_one_face_is_a_false_positive():
    matches = coco.match([np.concatenate([BOX, BOX])], [[0.9, 0.8]], [BOX])
    assert metrics.rates_at(matches, 0.5) == metrics.DetectionRates(
        precision=0.5, recall=1.0, f1=2 / 3
    )
    assert metrics.best_f1_threshold(matches) == 0.9
    assert metrics.ap50(matches) == 1


def test_perfect_detections():
    matches = coco.match([BOX, NONE], [[0.7], []], [BOX, NONE])
    assert metrics.ap50(matches) == metrics.ap50_95(matches) == 1
    assert metrics.rates_at(matches, 0.7) == metrics.DetectionRates(1, 1, 1)


def test_no_detections_score_zero():
    matches = coco.match([NONE], [[]], [BOX])
    assert metrics.ap50(matches) == metrics.ap50_95(matches) == 0
    assert metrics.rates_at(matches, 0.5) == metrics.DetectionRates(0, 0, 0)
    assert len(metrics.pr_curve(matches).confidence) == 0
    with pytest.raises(DataError, match="No detections"):
        metrics.best_f1_threshold(matches)


@pytest.mark.parametrize(
    "score",
    [
        metrics.ap50,
        metrics.ap50_95,
        metrics.pr_curve,
        metrics.best_f1_threshold,
        lambda matches: metrics.rates_at(matches, 0.5),
    ],
)
def test_no_truth_is_an_error(score):
    with pytest.raises(DataError, match="No truth boxes"):
        score(coco.match([BOX], [[0.5]], [NONE]))
    with pytest.raises(DataError, match="No truth boxes"):
        score(coco.match([], [], []))


def test_a_resample_without_faces_is_an_error():
    matches = coco.match([BOX, BOX], [[0.5], [0.5]], [BOX, NONE])
    with pytest.raises(DataError, match="No truth boxes"):
        metrics.ap50(matches, images=np.array([1, 1]))
    assert metrics.recall_by_group(matches, 0.5, images=np.array([1])) == {}


@pytest.mark.parametrize(
    ("boxes", "scores", "truths", "groups", "message"),
    [
        ([BOX], [[0.5]], [BOX, BOX], None, "of 1 images do not fit the truth of 2"),
        ([BOX], [[0.5, 0.4]], [BOX], None, "Image 0: 1 boxes with 2 scores"),
        ([BOX], [[0.5]], [BOX], [[0, 1]], "1 truth boxes with 2 groups"),
        ([BOX], [[np.nan]], [BOX], None, "not a finite number"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(boxes, scores, truths, groups, message):
    with pytest.raises(DataError, match=message):
        coco.match(boxes, scores, truths, groups)

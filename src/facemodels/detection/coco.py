"""AP by COCO's protocol, and which detections are right, by its reference code, pycocotools.

Source: Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014. One class, no crowds,
IoU 0.50:0.05:0.95, at most 100 detections an image. In descending order of score, each detection
takes the free true box with which it overlaps most, if their IoU reaches the threshold. Sizes
are the area of the true box in pixels of the image: small up to 32², medium up to 96², large
beyond. Of a size, detections of its range that find no face are false, and detections that find
a face of another size do not count.

pycocotools prints as it goes; what it prints is dropped.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facemodels.data.splits import NO_GROUP
from facemodels.detection.metrics import IOU_50, IOU_THRESHOLDS, NOT_FOUND, Matches
from facemodels.errors import DataError

MAX_DETECTIONS = 100  # an image, the best by score
_PLACES = {"ap50_95": 0, "ap50": 1, "ap_small": 3, "ap_medium": 4, "ap_large": 5}
_CLASS = 1
_ANY_SIZE = [0.0, float("inf")]  # pixels²


def average_precisions(
    boxes: Sequence[ArrayLike], scores: Sequence[ArrayLike], truths: Sequence[ArrayLike]
) -> Mapping[str, float]:
    """AP of the detections of each image: one entry an image in each argument.

    Args:
        boxes: (D_i, 4), x0 y0 x1 y1 in pixels; may be empty.
        scores: (D_i,), confidence, any finite scale.
        truths: (M_i, 4), x0 y0 x1 y1 in pixels; may be empty.

    Returns:
        `ap50_95` (mean over IoU 0.50:0.05:0.95), `ap50`, and `ap_small`, `ap_medium` and
        `ap_large` (likewise over all IoU), each 0..1; a size without faces is absent.

    Raises:
        DataError: the lengths or shapes do not fit, a value is not finite, or there is no
            truth box.
    """
    found = _checked(boxes, scores, truths)
    if not any(len(faces) for faces in found.truths):
        raise DataError(
            "No truth boxes, so recall and AP are undefined.",
            "Evaluate on images with labelled faces.",
        )
    with redirect_stdout(io.StringIO()):
        evaluation = _evaluation(found)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    stats = evaluation.stats  # the twelve figures of COCO; -1 where one is undefined
    return {name: float(stats[place]) for name, place in _PLACES.items() if stats[place] >= 0}


def match(
    boxes: Sequence[ArrayLike],
    scores: Sequence[ArrayLike],
    truths: Sequence[ArrayLike],
    groups: Sequence[ArrayLike] | None = None,
    *,
    max_detections: int = MAX_DETECTIONS,
) -> Matches:
    """Match the detections of each image with its truth boxes, at every IoU threshold.

    Args:
        boxes: one (D_i, 4) an image, x0 y0 x1 y1 in pixels; may be empty.
        scores: one (D_i,) an image, any finite scale.
        truths: one (M_i, 4) an image, x0 y0 x1 y1 in pixels; may be empty.
        groups: one int8 (M_i,) an image, group of each truth box; NO_GROUP if left out.
        max_detections: how many of an image count, the best by score.

    Raises:
        DataError: the lengths or shapes do not fit, or a value is not finite.
    """
    found = _checked(boxes, scores, truths, groups)
    n_truth = np.array([len(faces) for faces in found.truths], np.intp)
    with redirect_stdout(io.StringIO()):
        evaluation = _evaluation(found)
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [_ANY_SIZE], ["all"]
        evaluation.params.maxDets = [max_detections]
        evaluation.evaluate()
    images = [_of_image(entry) for entry in evaluation.evalImgs]
    # The empty first entries give the types where there are no images at all.
    score = np.concatenate([np.zeros(0), *(image[0] for image in images)])
    order = np.argsort(-score, kind="stable")
    tp = np.concatenate(
        [np.zeros((len(IOU_THRESHOLDS), 0), np.bool_), *(image[1] for image in images)], axis=1
    )
    return Matches(
        scores=score[order],
        image=np.repeat(np.arange(len(images)), [len(image[0]) for image in images])[order],
        tp=tp[:, order],
        n_truth=n_truth,
        truth_image=np.repeat(np.arange(len(n_truth), dtype=np.intp), n_truth),
        truth_score=np.concatenate([np.zeros(0), *(image[2] for image in images)]),
        truth_group=np.concatenate([np.zeros(0, np.int8), *found.groups]),
    )


@dataclass(frozen=True)
class _Checked:
    """Detections and truth, one array an image, which fit each other."""

    boxes: list[NDArray[np.float64]]
    scores: list[NDArray[np.float64]]
    truths: list[NDArray[np.float64]]
    groups: list[NDArray[np.int8]]


def _checked(
    boxes: Sequence[ArrayLike],
    scores: Sequence[ArrayLike],
    truths: Sequence[ArrayLike],
    groups: Sequence[ArrayLike] | None = None,
) -> _Checked:
    if groups is None:
        groups = [np.full(len(_boxes(values)), NO_GROUP, np.int8) for values in truths]
    if len({len(boxes), len(scores), len(truths), len(groups)}) != 1:
        raise DataError(
            f"Detections of {len(boxes)} images do not fit the truth of {len(truths)}.",
            "Pass one entry an image everywhere; an image without detections has an empty one.",
        )
    found = _Checked(
        [_boxes(values) for values in boxes],
        [np.asarray(values, np.float64).reshape(-1) for values in scores],
        [_boxes(values) for values in truths],
        [np.asarray(values, np.int8).reshape(-1) for values in groups],
    )
    each = zip(found.boxes, found.scores, found.truths, found.groups, strict=True)
    for index, (box, score, truth, group) in enumerate(each):
        if len(score) != len(box) or len(group) != len(truth):
            raise DataError(
                f"Image {index}: {len(box)} boxes with {len(score)} scores, "
                f"{len(truth)} truth boxes with {len(group)} groups.",
                "Pass one score a detection and one group a truth box.",
            )
        if not np.isfinite(score).all():
            raise DataError(f"Image {index}: a detection score is not a finite number.")
    return found


def _boxes(values: ArrayLike) -> NDArray[np.float64]:
    boxes = np.asarray(values, np.float64)
    if boxes.size == 0:
        return boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise DataError(f"Boxes have shape {boxes.shape}.", "Pass (N, 4): x0 y0 x1 y1.")
    if not np.isfinite(boxes).all():
        raise DataError("A box holds NaN or infinity.")
    return boxes


def _evaluation(found: _Checked) -> Any:
    """pycocotools' evaluation of one class, not run yet."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    indices = []
    for faces in (_entries(found.truths), _entries(found.boxes, found.scores)):
        index = COCO()
        index.dataset = {
            "images": [{"id": number} for number in range(len(found.truths))],
            "categories": [{"id": _CLASS, "name": "face"}],
            "annotations": faces,
        }
        index.createIndex()
        indices.append(index)
    return COCOeval(*indices, "bbox")


def _entries(
    boxes: Sequence[NDArray[np.float64]], scores: Sequence[NDArray[np.float64]] | None = None
) -> list[dict[str, Any]]:
    """Boxes in COCO's form: x, y, width and height in pixels; ids count from 1."""
    rows = [(image, box) for image, faces in enumerate(boxes) for box in faces.tolist()]
    entries: list[dict[str, Any]] = []
    for number, (image, (x0, y0, x1, y1)) in enumerate(rows, 1):
        width, height = max(x1 - x0, 0.0), max(y1 - y0, 0.0)
        entries.append(
            {
                "id": number,
                "image_id": image,
                "category_id": _CLASS,
                "bbox": [x0, y0, width, height],
                "area": width * height,
                "iscrowd": 0,
            }
        )
    flat = [] if scores is None else np.concatenate([np.zeros(0), *scores]).tolist()
    for entry, score in zip(entries, flat, strict=False):
        entry["score"] = score
    return entries


def _of_image(
    entry: Mapping[str, Any] | None,
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    """What pycocotools says of one image; None is one with neither faces nor detections.

    Returns:
        Scores (D,), falling; whether each detection is right, (T, D); and the score that finds
        each truth box at IoU 0.5, (K,).
    """
    if entry is None:
        return np.zeros(0), np.zeros((len(IOU_THRESHOLDS), 0), np.bool_), np.zeros(0)
    scores = np.asarray(entry["dtScores"], np.float64)
    by_id = dict(zip(entry["dtIds"], scores.tolist(), strict=True))
    finders = entry["gtMatches"][IOU_50]  # ids of detections, 0 for none
    found_at = [by_id.get(int(number), NOT_FOUND) for number in finders]
    return scores, np.asarray(entry["dtMatches"]) > 0, np.asarray(found_at, np.float64)

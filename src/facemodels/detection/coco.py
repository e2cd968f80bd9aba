"""AP by COCO's protocol through its reference code, pycocotools, also by the size of a face.

Source: Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014. One class, no crowds,
at most 100 detections an image; sizes are the area of the true box in pixels of the image: small
up to 32², medium up to 96², large beyond. Of a size, detections of its range that find no face
are false, and detections that find a face of another size do not count.

pycocotools prints as it goes; what it prints is dropped. `metrics` gives the same AP for any
resample of the images, which pycocotools would have to match anew.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facemodels.errors import DataError

_PLACES = {"ap50_95": 0, "ap50": 1, "ap_small": 3, "ap_medium": 4, "ap_large": 5}
_CLASS = 1


def average_precisions(
    boxes: Sequence[ArrayLike], scores: Sequence[ArrayLike], truths: Sequence[ArrayLike]
) -> Mapping[str, float]:
    """AP of the detections of each image: one entry an image in each argument.

    Args:
        boxes: (D_i, 4), x0 y0 x1 y1 in pixels; may be empty.
        scores: (D_i,), confidence.
        truths: (M_i, 4), x0 y0 x1 y1 in pixels; may be empty.

    Returns:
        `ap50_95` (mean over IoU 0.50:0.05:0.95), `ap50`, and `ap_small`, `ap_medium` and
        `ap_large` (likewise over all IoU), each 0..1; a size without faces is absent.

    Raises:
        DataError: the lengths differ, or there is no truth box.
    """
    if not len(boxes) == len(scores) == len(truths):
        raise DataError(f"Detections of {len(boxes)} images for the truth of {len(truths)}.")
    annotations = _annotations(truths)
    if not annotations:
        raise DataError(
            "No truth boxes, so recall and AP are undefined.",
            "Evaluate on images with labelled faces.",
        )
    stats = _stats(annotations, _results(boxes, scores), len(truths))
    return {name: float(stats[place]) for name, place in _PLACES.items() if stats[place] >= 0}


def _stats(
    annotations: list[dict[str, Any]], results: list[dict[str, Any]], n_images: int
) -> NDArray[np.float64]:
    """The twelve figures of COCO; -1 where one is undefined."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with redirect_stdout(io.StringIO()):
        truth, found = COCO(), COCO()
        for index, boxes in ((truth, annotations), (found, results)):
            index.dataset = {
                "images": [{"id": number} for number in range(n_images)],
                "categories": [{"id": _CLASS, "name": "face"}],
                "annotations": boxes,
            }
            index.createIndex()
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    stats: NDArray[np.float64] = evaluation.stats
    return stats


def _annotations(truths: Sequence[ArrayLike]) -> list[dict[str, Any]]:
    return [
        {**entry, "id": number, "iscrowd": 0}
        for number, entry in enumerate(
            (_entry(image, box) for image, faces in enumerate(truths) for box in _rows(faces)), 1
        )
    ]


def _results(boxes: Sequence[ArrayLike], scores: Sequence[ArrayLike]) -> list[dict[str, Any]]:
    entries = (
        {**_entry(image, box), "score": float(score)}
        for image, faces in enumerate(boxes)
        for box, score in zip(_rows(faces), np.ravel(np.asarray(scores[image])), strict=True)
    )
    return [{**entry, "id": number, "iscrowd": 0} for number, entry in enumerate(entries, 1)]


def _entry(image: int, box: NDArray[np.float64]) -> dict[str, Any]:
    x0, y0, x1, y1 = (float(value) for value in box)
    size = [x1 - x0, y1 - y0]
    return {"image_id": image, "category_id": _CLASS, "bbox": [x0, y0, *size],
            "area": size[0] * size[1]}  # fmt: skip


def _rows(boxes: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(boxes, np.float64).reshape(-1, 4)

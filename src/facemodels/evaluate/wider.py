"""AP by the protocol of WIDER FACE, over some of the faces: those of a level, or of a height.

Source: Yang et al., "WIDER FACE: A Face Detection Benchmark", CVPR 2016, and the evaluation
tools that its authors publish (`eval_tools`: `evaluation.m`, `norm_score.m`, `VOC_ap.m`):

- IoU is at least 0.5, where a box includes the pixels on its border: its width is x1 - x0 + 1.
- Each detection belongs to the face with which it overlaps most, taken or not. On a face that
  does not count it is neither right nor false; the second one on a face that counts is false.
- An image without a true box is left out, its detections too.
- Scores are stretched to 0..1 over all images; precision and recall are taken at the thresholds
  0.999, 0.998 … 0, and AP is the area under the falling envelope of precision (as of Pascal
  VOC 2010), not the mean at 101 recalls that COCO takes.

The levels easy, medium and hard are lists of faces, which come with the data set's annotations
(`facemodels.data.real.wider_levels` reads them). They were drawn by how well EdgeBox proposes
the faces, so they cannot be made for other data. There `by_height` takes the three scales of
the same paper, by the height of the true box. AP of a scale is not AP of a level.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facemodels.data.splits import LEVEL_GROUPS, WIDER_LEVELS, DetectionSplit
from facemodels.errors import DataError

IOU = 0.5
THRESHOLDS = 1000
# Least and largest height of the true box in pixels of the image, the last excluded; section 3
# of the paper. Lower faces count in no scale.
HEIGHTS: Mapping[str, tuple[float, float]] = {
    "10_50": (10, 50), "50_300": (50, 300), "300_up": (300, np.inf),
}  # fmt: skip

Flags = NDArray[np.bool_]


def by_height(truths: Sequence[ArrayLike]) -> dict[str, list[Flags]]:
    """Which faces belong to each scale of `HEIGHTS` that has any: one bool (M_i,) an image.

    Args:
        truths: one (M_i, 4) an image, x0 y0 x1 y1 in pixels of the image; may be empty.
    """
    boxes = [np.asarray(values, np.float64).reshape(-1, 4) for values in truths]
    heights = [faces[:, 3] - faces[:, 1] for faces in boxes]
    scales = {
        name: [(height >= least) & (height < most) for height in heights]
        for name, (least, most) in HEIGHTS.items()
    }
    return {name: flags for name, flags in scales.items() if any(map(np.any, flags))}


def by_level(groups: Sequence[ArrayLike]) -> dict[str, list[Flags]]:
    """Which faces belong to each level that has any: one bool (M_i,) an image.

    Args:
        groups: int8 (M_i,) an image, numbers of `data.splits.LEVEL_GROUPS`.
    """
    numbers = [np.asarray(values, np.int8) for values in groups]
    levels = {
        name: [(values >> bit & 1).astype(np.bool_) for values in numbers]
        for bit, name in enumerate(WIDER_LEVELS)
    }
    return {name: flags for name, flags in levels.items() if any(map(np.any, flags))}


def of_split(split: DetectionSplit, names: Sequence[str]) -> dict[str, list[Flags]]:
    """The faces of each level where a split has levels, else of each height.

    Args:
        split: images with boxes.
        names: what its groups are called.
    """
    images = range(len(split))
    if tuple(names) == LEVEL_GROUPS:
        return by_level([split.box_group[split.box_image == index] for index in images])
    return by_height([split.boxes_of(index) for index in images])


def average_precision(
    boxes: Sequence[ArrayLike],
    scores: Sequence[ArrayLike],
    truths: Sequence[ArrayLike],
    counted: Sequence[ArrayLike],
    *,
    thresholds: int | None = THRESHOLDS,
) -> float:
    """AP over the faces that count, 0..1: one entry an image in each argument.

    Args:
        boxes: (D_i, 4), x0 y0 x1 y1 in pixels; may be empty.
        scores: (D_i,), confidence, any finite scale.
        truths: (M_i, 4), x0 y0 x1 y1 in pixels, all faces of the image; may be empty.
        counted: bool (M_i,), the faces that count.
        thresholds: at how many scores precision and recall are taken; None takes every score,
            which is exact.

    Raises:
        DataError: the lengths differ, or no face counts.
    """
    if len({len(boxes), len(scores), len(truths), len(counted)}) != 1:
        raise DataError(f"Detections of {len(boxes)} images for the truth of {len(truths)}.")
    flags = [np.asarray(values, np.bool_).reshape(-1) for values in counted]
    n_faces = int(sum(np.count_nonzero(values) for values in flags))
    if not n_faces:
        raise DataError("No face counts, so recall and AP are undefined.")
    images = [
        _judged(_floats(box), _floats(score), _floats(truth), flag)
        for box, score, truth, flag in zip(boxes, scores, truths, flags, strict=True)
    ]
    score, proposed, found = (np.concatenate(parts) for parts in zip(*images, strict=True))
    order = np.argsort(-score, kind="stable")
    kept = _kept(_stretched(score[order]), thresholds)
    n_found = np.append(0, np.cumsum(found[order]))[kept]
    n_proposed = np.append(0, np.cumsum(proposed[order]))[kept]
    precision = np.divide(n_found, n_proposed, out=np.zeros(len(kept)), where=n_proposed > 0)
    return _area(precision, n_found / n_faces)


def _kept(scores: NDArray[np.float64], thresholds: int | None) -> NDArray[np.intp]:
    """How many detections each threshold keeps, the strictest first; `scores` fall."""
    at = np.unique(scores) if thresholds is None else np.arange(thresholds) / thresholds
    return np.searchsorted(-scores, -at[::-1], side="right")


def _stretched(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores from 0 to 1; all 1 where they are all the same."""
    if not len(scores) or scores.max() == scores.min():
        return np.ones(len(scores))
    return np.asarray((scores - scores.min()) / (scores.max() - scores.min()))


def _area(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> float:
    """The area under the envelope of precision, which falls with recall."""
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))


def _floats(values: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(values, np.float64)


def _judged(
    boxes: NDArray[np.float64],
    scores: NDArray[np.float64],
    truth: NDArray[np.float64],
    counted: Flags,
) -> tuple[NDArray[np.float64], Flags, Flags]:
    """The detections of one image, in falling order of score.

    Returns:
        Scores (D,); whether each counts as a proposal, (D,); and whether it is the first on a
        face that counts, (D,). Of an image without a true box nothing counts.
    """
    order = np.argsort(-scores.reshape(-1), kind="stable")
    score, found = scores.reshape(-1)[order], np.zeros(len(order), np.bool_)
    if not truth.size or not len(order):
        return score, found, found.copy()
    overlap = _overlaps(boxes.reshape(-1, 4)[order], truth.reshape(-1, 4))
    face = overlap.argmax(axis=1)
    hits = overlap.max(axis=1) >= IOU
    on_counted = np.flatnonzero(hits & counted[face])
    _, first = np.unique(face[on_counted], return_index=True)
    found[on_counted[first]] = True
    return score, ~(hits & ~counted[face]), found


def _overlaps(some: NDArray[np.float64], many: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of (N, 4) with (M, 4), as (N, M); boxes include their border."""
    sides_some, sides_many = (boxes[:, 2:] - boxes[:, :2] + 1 for boxes in (some, many))
    low = np.maximum(some[:, None, :2], many[None, :, :2])
    high = np.minimum(some[:, None, 2:], many[None, :, 2:])
    shared = np.clip(high - low + 1, 0, None).prod(axis=2)
    union = sides_some.prod(axis=1)[:, None] + sides_many.prod(axis=1)[None] - shared
    return np.asarray(shared / union)

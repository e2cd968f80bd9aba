"""Training faces: each one and its mirror image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facemodels.data.splits import LandmarkSplit

_JAW = list(range(16, -1, -1))
_BROWS = list(range(26, 16, -1))
_NOSE = [27, 28, 29, 30, 35, 34, 33, 32, 31]
_EYES = [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
_LIPS = [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]
# Which point of a face is point i of its mirror image, in iBUG's order.
MIRROR: NDArray[np.intp] = np.array([*_JAW, *_BROWS, *_NOSE, *_EYES, *_LIPS], np.intp)


def with_mirrored(split: LandmarkSplit) -> LandmarkSplit:
    """The split followed by its mirror images: a left eye is a right one seen in a mirror."""
    width = split.images.shape[2]
    points = split.points[:, MIRROR].copy()
    points[..., 0] = width - 1 - points[..., 0]  # points count pixel centres
    boxes = split.boxes[:, [2, 1, 0, 3]].copy()
    boxes[:, [0, 2]] = width - boxes[:, [0, 2]]  # boxes count pixel edges
    return LandmarkSplit(
        images=np.concatenate([split.images, split.images[:, :, ::-1]]),
        boxes=np.concatenate([split.boxes, boxes]),
        points=np.concatenate([split.points, points]),
        groups=np.concatenate([split.groups, split.groups]),
    )

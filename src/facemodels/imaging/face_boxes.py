"""The box of a face that landmark models take: one convention, from the hairline to the chin.

A tight box around 68 points begins at the brows. Detectors and the generated faces draw a face
from the hairline, which is 0.24 of the points' height further up (the mean of 1,000 generated
faces). The same weights have an NME of 0.115 in such boxes of HELEN and of 0.169 in tight ones;
dlib's published ones 0.059 and 0.069. Whatever is known of a face, a model is given this box.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FOREHEAD = 0.24  # of the points' height, from the highest brow to the hairline
# What config.yaml of a package says of the boxes that its model takes.
CONVENTION = {
    "convention": "hairline",
    "reaches": "from the hairline to the chin, as wide as the face",
    "from_points": f"the box of the 68 points, {FOREHEAD} of its height higher at the top",
}


def points_box(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """The tight box float32 (4,), edges frame, of points (N, 2), centres frame."""
    return np.concatenate([points.min(axis=0), points.max(axis=0)]) + np.float32(0.5)


def face_box(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """The box of a face float32 (4,), edges frame, by its 68 points (68, 2), centres frame."""
    box = points_box(points)
    box[1] -= np.float32(FOREHEAD) * (box[3] - box[1])
    return box

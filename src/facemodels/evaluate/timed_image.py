"""The image that speed is measured with: drawn faces, so that all of a model runs.

In a picture without a face a cascade stops after its first network, and would look faster than
it is. What the faces are drawn of matters to nobody but a detector; nothing has to be read.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_CENTRES = ((0.28, 0.28), (0.28, 0.72), (0.72, 0.28), (0.72, 0.72))  # y x, of the image's side
_HALF = 0.2  # half the height of a face, of the image's side
# y, x, half height and half width, of half the height of the face; grey, 0 to 255.
_ELLIPSES = (
    (0.0, 0.0, 1.0, 0.75, 190),
    (-0.25, -0.33, 0.08, 0.16, 40),  # eyes
    (-0.25, 0.33, 0.08, 0.16, 40),
    (-0.42, -0.33, 0.05, 0.22, 70),  # brows
    (-0.42, 0.33, 0.05, 0.22, 70),
    (0.12, 0.0, 0.09, 0.14, 140),  # nose
    (0.45, 0.0, 0.08, 0.3, 90),  # mouth
)
_TINT = np.array([1.05, 0.95, 0.85], np.float32)


def timed_image(size: int) -> NDArray[np.uint8]:
    """Four faces on a ramp with seeded noise: uint8 (size, size, 3), RGB."""
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    grey = 60 + 60 * rows / size
    for centre_y, centre_x in _CENTRES:
        for y, x, height, width, level in _ELLIPSES:
            down = (rows / size - centre_y) / _HALF - y
            across = (columns / size - centre_x) / _HALF - x
            grey[(down / height) ** 2 + (across / width) ** 2 <= 1] = level
    noise = np.random.default_rng(0).normal(0, 6, (size, size, 3))
    image: NDArray[np.uint8] = np.clip(grey[..., None] * _TINT + noise, 0, 255).astype(np.uint8)
    return image

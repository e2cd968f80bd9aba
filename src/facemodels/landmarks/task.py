"""What every landmark architecture gives: 68 points of a face in a box."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

POINTS = 68  # iBUG 300-W mark-up


class LandmarkModel(Protocol):
    """A landmark model ready to use."""

    def fit(
        self, images: Sequence[NDArray[np.uint8]], boxes: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Points float32 (N, 68, 2), x y in pixels, of one face an image.

        Args:
            images: uint8 HWC RGB, any size.
            boxes: float32 (N, 4), x0 y0 x1 y1 of the face in each image.
        """

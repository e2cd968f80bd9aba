"""What every detection architecture gives: boxes and scores of the faces in an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Detections:
    """Faces of one image, best first.

    Attributes:
        boxes: float32 (K, 4), x0 y0 x1 y1 in pixels of the image given.
        scores: float32 (K,), 0..1.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]


class Detector(Protocol):
    """A detection model ready to use."""

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """Faces of uint8 HWC RGB images of any size."""

"""How large and how sharp a face is, and the least that an answer needs.

Both are measured, not learned. Size is the distance of the eyes in pixels of the photo
(ISO/IEC 19794-5 states its limits in it). Sharpness is the variance of the Laplacian of the grey
crop: Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy: a comparative study",
ICPR 2000. It is measured on the crop that the network gets, so that it does not depend on the
resolution of the photo.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from facemodels.params import Frozen

# Weights of red, green and blue in ITU-R BT.601, as Pillow's conversion to grey has them.
_RED, _GREEN, _BLUE = np.float32(0.299), np.float32(0.587), np.float32(0.114)


@dataclass(frozen=True)
class Quality:
    """Measures of one face.

    Attributes:
        eyes: distance of the eyes, pixels of the photo.
        sharpness: variance of the Laplacian of the grey crop, 0 to 255 squared; 0 is one colour.
    """

    eyes: float
    sharpness: float


class QualityLimits(Frozen):
    """The least that a face must have to be enrolled or searched; 0 asks for nothing.

    Attributes:
        eyes: pixels of the photo.
        sharpness: see `Quality`.
    """

    eyes: float = 0.0
    sharpness: float = 0.0


def measure(points: NDArray[np.floating[Any]], crop: NDArray[np.uint8]) -> Quality:
    """Measure a face.

    Args:
        points: (5, 2), pixels of the photo; the first two are the eyes.
        crop: uint8 (S, S, 3), RGB, the aligned face; S is 3 or more.
    """
    eyes = float(np.hypot(*(points[1] - points[0]).astype(np.float64)))
    return Quality(eyes, sharpness(crop))


def sharpness(crop: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of 4 neighbours, of a crop uint8 (S, S, 3); see `Quality`."""
    # Sums are made in place, of whole planes: a crop is measured in a third of the time.
    grey = np.multiply(crop[..., 0], _RED, dtype=np.float32)
    for channel, weight in ((1, _GREEN), (2, _BLUE)):
        grey += np.multiply(crop[..., channel], weight, dtype=np.float32)
    around = grey[:-2, 1:-1] + grey[2:, 1:-1]
    for side in (grey[1:-1, :-2], grey[1:-1, 2:]):
        around += side
    around -= 4 * grey[1:-1, 1:-1]
    return float(around.var(dtype=np.float64))


@dataclass(frozen=True)
class Shortfall:
    """What a face or a photo lacks; as text it ends a sentence that begins with either.

    Attributes:
        field: what was measured: a measure of `Quality`, or the number of `faces` of a photo.
        value: what was measured.
        limit: what it is to be: at least, or for the number of faces exactly.
    """

    field: Literal["eyes", "sharpness", "faces"]
    value: float
    limit: float

    def __str__(self) -> str:
        """For example `is too blurred: its sharpness is 12.3, of 20`."""
        if self.field == "faces":
            return f"shows {self.value:g} faces, of {self.limit:g}"
        if self.field == "eyes":
            return f"is too small: the eyes are {self.value:.1f} pixels apart, of {self.limit:g}"
        return f"is too blurred: its sharpness is {self.value:.1f}, of {self.limit:g}"


def shortfall(quality: Quality, limits: QualityLimits) -> Shortfall | None:
    """What a face lacks, with the value that was measured and the limit; None if nothing."""
    if quality.eyes < limits.eyes:
        return Shortfall("eyes", quality.eyes, limits.eyes)
    if quality.sharpness < limits.sharpness:
        return Shortfall("sharpness", quality.sharpness, limits.sharpness)
    return None

"""Images as arrays: uint8 (H, W, 3), RGB; the error and the limit that all of imaging shares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemodels.errors import DataError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")  # Pillow's other decoders are never called
EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
_STRIPE = 1 << 18  # pixels that are laid on black at once
MAX_PIXELS = 50_000_000  # pixels of a decoded image; three bytes each


class ImageError(DataError):
    """An image cannot be used.

    Attributes:
        reason: what is wrong, without the path.
        path: the image's file, or None for bytes and arrays.
    """

    def __init__(self, reason: str, path: Path | None = None) -> None:
        self.reason = reason
        self.path = path
        super().__init__(
            f"{path or 'image'}: {reason}.", f"Give a {', '.join(FORMATS)} picture within limits."
        )


def as_rgb(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Bring an array to uint8 (H, W, 3).

    Args:
        image: uint8 (H, W) or (H, W, 1) grey, (H, W, 3) RGB, (H, W, 4) RGBA (on black).

    Raises:
        ImageError: another type or shape, or no pixel at all.
    """
    if image.dtype != np.uint8:
        raise ImageError(f"pixels are {image.dtype}, not uint8")
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4):
        raise ImageError(f"array of shape {image.shape} is not (H, W), (H, W, 1), 3 or 4 channels")
    if image.size == 0:
        raise ImageError(f"array of shape {image.shape} has no pixels")
    if image.shape[2] == 1:
        return np.repeat(image, 3, axis=2)
    if image.shape[2] == 4:
        return _on_black(image)
    return image


def _on_black(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay RGBA on black, some rows at a time: 16 bits for each value of all would be much."""
    made = np.empty((*image.shape[:2], 3), np.uint8)
    rows = max(1, _STRIPE // image.shape[1])
    for top in range(0, len(image), rows):
        part = image[top : top + rows]
        alpha = part[:, :, 3:].astype(np.uint16)
        made[top : top + rows] = (part[:, :, :3] * alpha + 127) // 255
    return made

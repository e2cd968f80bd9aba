"""Resizing by area as MTCNN's weights expect it: each new pixel is the mean of whole old ones.

facenet-pytorch, which these weights come with, resizes by `interpolate(mode="area")`. That is
adaptive average pooling: of n cells along an axis of length m, cell i covers the pixels from
floor(i m / n) up to ceil((i + 1) m / n), so neighbouring cells may share a pixel. Other
libraries weigh the fractions of pixels instead; a face then looks different to the networks and
its box moves. An integral image (Viola and Jones, CVPR 2001) gives the sum over any cell by four
look-ups.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[np.intp]


class AreaSums:
    """The integral image of a picture, from which it and crops of it are resized.

    Args:
        picture: uint8 (H, W, 3).

    Attributes:
        height: H, pixels.
        width: W, pixels.
    """

    def __init__(self, picture: NDArray[np.uint8]) -> None:
        self.height, self.width = picture.shape[:2]
        # Sums may exceed 32 bits and wrap around. Their differences, which is all that is
        # used, are right modulo 2^32, and no cell has 2^32 / 255 pixels.
        self._table = np.zeros((self.height + 1, self.width + 1, 3), np.uint32)
        inner = self._table[1:, 1:]
        np.cumsum(picture, axis=0, dtype=np.uint32, out=inner)
        np.cumsum(inner, axis=1, dtype=np.uint32, out=inner)

    def resized(self, height: int, width: int) -> NDArray[np.float32]:
        """The whole picture, float32 (1, 3, height, width), 0 to 255."""
        top, bottom = _cells(np.array([0]), np.array([self.height]), height)
        left, right = _cells(np.array([0]), np.array([self.width]), width)
        rows = self._table[bottom[0]] - self._table[top[0]]
        sums = rows.take(right[0], axis=1) - rows.take(left[0], axis=1)
        return _means(sums[None], bottom - top, right - left)

    def crops(self, boxes: Whole, size: int) -> NDArray[np.float32]:
        """Crops of the picture, resized: float32 (K, 3, size, size), 0 to 255.

        Args:
            boxes: (K, 4), left, top, right, bottom in whole pixels, right and bottom excluded;
                inside of the picture and with an area.
            size: of the crops, pixels.
        """
        left, right = _cells(boxes[:, 0], boxes[:, 2], size)
        top, bottom = _cells(boxes[:, 1], boxes[:, 3], size)
        sums = self._at(bottom, right) - self._at(top, right)
        sums -= self._at(bottom, left) - self._at(top, left)
        return _means(sums, bottom - top, right - left)

    def _at(self, rows: Whole, columns: Whole) -> NDArray[np.uint32]:
        """The table at each pair of a row and a column: (K, S) and (K, S) to (K, S, S, 3)."""
        places = rows[:, :, None] * (self.width + 1) + columns[:, None, :]
        found: NDArray[np.uint32] = self._table.reshape(-1, 3).take(places, axis=0)
        return found


def _cells(start: Whole, stop: Whole, count: int) -> tuple[Whole, Whole]:
    """First and one after the last pixel of each cell: (K,) and (K,) to (K, count), twice."""
    length, step = (stop - start)[:, None], np.arange(count + 1)[None]
    first = start[:, None] + step[:, :-1] * length // count
    last = start[:, None] - (-step[:, 1:] * length) // count
    return first, last


def _means(sums: NDArray[np.uint32], rows: Whole, columns: Whole) -> NDArray[np.float32]:
    """Sums (K, S, S, 3) over cells of so many rows and columns, as means (K, 3, S, S)."""
    means = np.moveaxis(sums, 3, 1).astype(np.float32, order="C")
    means /= rows[:, None, :, None].astype(np.float32)
    means /= columns[:, None, None, :].astype(np.float32)
    return means

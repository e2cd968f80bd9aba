"""Resizing by area as MTCNN's weights expect it: each new pixel is the mean of whole old ones.

facenet-pytorch, which these weights come with, resizes by `interpolate(mode="area")`. That is
adaptive average pooling: of n cells along an axis of length m, cell i covers the pixels from
floor(i m / n) up to ceil((i + 1) m / n), so neighbouring cells may share a pixel. Other
libraries weigh the fractions of pixels instead; a face then looks different to the networks and
its box moves. An integral image (Viola and Jones, CVPR 2001) gives the sum over any cell by four
look-ups.

The three channels of a pixel share one number of 64 bits, 21 bits each, so that one sum and one
look-up serve all of them. Sums over much of a picture run over into the next channel and past the
last bit, but everything is taken modulo 2^64, where the four look-ups of a cell still give the
packed sums of the cell itself. Those fit as long as the cell has few enough pixels; larger ones
are looked up in a table for each channel.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[np.intp]
Sums = NDArray[np.uint64]

_BITS = 21  # of a channel in a packed sum
_CHANNEL = np.int32(2**_BITS - 1)
_MOST_IN_CELL = int(_CHANNEL) // 255  # pixels


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
        self._picture = picture

    def resized(self, height: int, width: int) -> NDArray[np.float32]:
        """The whole picture, float32 (1, 3, height, width), 0 to 255."""
        top, bottom = _cells(self.height, height)
        left, right = _cells(self.width, width)

        def sums(table: Sums) -> Sums:
            rows = table.take(bottom, axis=0)
            rows -= table.take(top, axis=0)
            found: Sums = rows.take(right, axis=1)
            found -= rows.take(left, axis=1)
            return found[None]

        return self._means(sums, (bottom - top)[None], (right - left)[None])

    def crops(self, boxes: Whole, size: int) -> NDArray[np.float32]:
        """Crops of the picture, resized: float32 (K, 3, size, size), 0 to 255.

        Args:
            boxes: (K, 4), left, top, right, bottom in whole pixels, right and bottom excluded;
                inside of the picture and with an area.
            size: of the crops, pixels.
        """
        corners = boxes[:, :2, None]
        first, last = _cells(boxes[:, 2:, None] - corners, size)
        columns, rows = (last - first).swapaxes(0, 1)
        first += corners
        last += corners
        left, right = first[:, 0, None], last[:, 0, None]
        above, below = ((edge[:, 1] * (self.width + 1))[:, :, None] for edge in (first, last))
        place = np.empty((len(boxes), size, size), np.intp)

        def sums(table: Sums) -> Sums:
            flat = table.reshape(-1)
            found: Sums = flat.take(np.add(below, right, out=place))
            found -= flat.take(np.add(above, right, out=place))
            found -= flat.take(np.add(below, left, out=place))
            found += flat.take(np.add(above, left, out=place))
            return found

        return self._means(sums, rows, columns)

    def _means(
        self, sums: Callable[[Sums], Sums], rows: Whole, columns: Whole
    ) -> NDArray[np.float32]:
        """The means (K, 3, S, T) of cells; `sums` gives their sums (K, S, T) from a table.

        The cells have so many rows (K, S) and columns (K, T).
        """
        means = np.empty((len(rows), 3, rows.shape[1], columns.shape[1]), np.float32)
        if rows.max() * columns.max() <= _MOST_IN_CELL:
            packed = sums(self._packed)
            for channel in range(3):
                # NumPy makes floats of 32 bits faster than of 64.
                means[:, channel] = packed.astype(np.int32) & _CHANNEL
                packed >>= _BITS
        else:
            for channel in range(3):
                means[:, channel] = sums(_table(self._picture[..., channel]))
        means /= rows[:, None, :, None].astype(np.float32)
        means /= columns[:, None, None, :].astype(np.float32)
        return means

    @cached_property
    def _packed(self) -> Sums:
        """The table (H + 1, W + 1) of the three channels."""
        red, green, blue = np.moveaxis(self._picture, 2, 0)
        pixels = blue.astype(np.uint64)
        for channel in (green, red):
            pixels <<= _BITS
            pixels |= channel
        return _table(pixels)


def _table(pixels: NDArray[np.unsignedinteger[Any]]) -> Sums:
    """The sums over everything above and to the left: (H, W) to (H + 1, W + 1), modulo 2^64."""
    table = np.zeros((pixels.shape[0] + 1, pixels.shape[1] + 1), np.uint64)
    np.cumsum(pixels, axis=1, dtype=np.uint64, out=table[1:, 1:])
    for above, row in itertools.pairwise(table):  # faster than a sum along the first axis
        np.add(above, row, out=row)
    return table


def _cells(length: int | Whole, count: int) -> tuple[Whole, Whole]:
    """First and one after the last pixel of each cell of lengths (..., 1): (..., count), twice."""
    edges = np.arange(count + 1) * length
    return edges[..., :-1] // count, (edges[..., 1:] + (count - 1)) // count

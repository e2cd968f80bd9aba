"""A decoded picture that may be smaller than its file, and coordinates in both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Photo:
    """A decoded picture.

    Attributes:
        pixels: uint8 (H, W, 3), RGB, upright.
        scale: pixels of the file for each of these, along one side; 1 for the whole picture.
        width: of the file, upright.
        height: likewise.
    """

    pixels: NDArray[np.uint8]
    scale: int
    width: int
    height: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the file."""
        return self.width, self.height

    def boxes_of_file(self, boxes: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Boxes (..., 4) in these pixels as boxes in pixels of the file; edges frame."""
        return (boxes * np.float32(self.scale)).astype(np.float32, copy=False)

    def boxes_here(self, boxes: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """The inverse of `boxes_of_file`."""
        return (boxes / np.float32(self.scale)).astype(np.float32, copy=False)

    def points_of_file(self, points: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Points (..., 2) in these pixels as points in pixels of the file; centres frame."""
        if self.scale == 1:
            return points.astype(np.float32, copy=False)
        return ((points + 0.5) * self.scale - 0.5).astype(np.float32)

    def points_here(self, points: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """The inverse of `points_of_file`."""
        if self.scale == 1:
            return points.astype(np.float32, copy=False)
        return ((points + 0.5) / self.scale - 0.5).astype(np.float32)


def turn(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Bring stored pixels upright, without a copy.

    Args:
        pixels: uint8 (H, W, 3) as stored.
        orientation: of EXIF, 1 to 8; any other counts as upright.
    """
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels

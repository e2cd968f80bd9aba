"""Contact sheets: some samples of a split in one image, for people to look at."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from facemodels.data.splits import DetectionSplit, LandmarkSplit, RecognitionSplit

Image = NDArray[np.uint8]

_BOX_COLOUR = (0, 255, 0)
_POINT_COLOUR = (255, 0, 0)


def recognition_sheet(
    split: RecognitionSplit, *, rows: int = 6, columns: int = 8, tile: int = 160
) -> Image:
    """Up to `rows` people, each in a row, with their first `columns` images; uint8, RGB."""
    firsts = np.sort(np.unique(split.identities, return_index=True)[1])[:rows]
    people = split.identities[firsts]
    grid = [np.flatnonzero(split.identities == person)[:columns] for person in people]
    return _stack([[_resized(split.images[i], tile) for i in row] for row in grid], columns, tile)


def detection_sheet(
    split: DetectionSplit, *, rows: int = 2, columns: int = 4, tile: int = 320
) -> Image:
    """The first `rows` × `columns` images with their boxes; uint8, RGB."""
    tiles = []
    for index in range(min(rows * columns, len(split))):
        image, scale = _magnified(split.images[index], tile)
        for box in split.boxes_of(index):
            _draw_box(image, box, scale)
        tiles.append(image)
    return _stack(_in_rows(tiles, columns), columns, tile)


def landmark_sheet(
    split: LandmarkSplit, *, rows: int = 2, columns: int = 4, tile: int = 320
) -> Image:
    """The first `rows` × `columns` faces with their boxes and points; uint8, RGB."""
    tiles = []
    for index in range(min(rows * columns, len(split))):
        image, scale = _magnified(split.images[index], tile)
        _draw_box(image, split.boxes[index], scale)
        for x, y in _in_tile(split.points[index], scale):
            cv2.circle(image, (int(x), int(y)), max(1, tile // 200), _POINT_COLOUR, -1, cv2.LINE_AA)
        tiles.append(image)
    return _stack(_in_rows(tiles, columns), columns, tile)


def _resized(image: Image, tile: int) -> Image:
    """A writable copy of `image` with sides of `tile` pixels."""
    if image.shape[:2] == (tile, tile):
        return np.array(image)
    method = cv2.INTER_AREA if len(image) > tile else cv2.INTER_CUBIC
    return cast(Image, cv2.resize(np.asarray(image), (tile, tile), interpolation=method))


def _magnified(image: Image, tile: int) -> tuple[Image, float]:
    """The tile, and the length of a pixel of `image` in pixels of the tile."""
    return _resized(image, tile), tile / len(image)


def _in_tile(points: NDArray[np.float32], scale: float) -> NDArray[np.int64]:
    """Points (N, 2), centres frame, in pixels of the tile, centres frame."""
    return np.round((points + 0.5) * scale - 0.5).astype(np.int64)


def _draw_box(image: Image, box: NDArray[np.float32], scale: float) -> None:
    (x0, y0), (x1, y1) = _in_tile(box.reshape(2, 2), scale).tolist()
    cv2.rectangle(image, (x0, y0), (x1, y1), _BOX_COLOUR, max(1, len(image) // 300))


def _in_rows(tiles: list[Image], columns: int) -> list[list[Image]]:
    return [tiles[start : start + columns] for start in range(0, len(tiles), columns)]


def _stack(grid: list[list[Image]], columns: int, tile: int) -> Image:
    """Rows of tiles as one image; missing tiles are black."""
    sheet = np.zeros((max(1, len(grid)) * tile, columns * tile, 3), np.uint8)
    for row, tiles in enumerate(grid):
        for column, image in enumerate(tiles):
            rows, cols = row * tile, column * tile
            sheet[rows : rows + tile, cols : cols + tile] = image
    return sheet

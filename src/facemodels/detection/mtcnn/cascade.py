"""The cascade around MTCNN's three networks: a picture to boxes, scores and five points.

Source: Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded
Convolutional Networks", IEEE Signal Processing Letters 2016. Every step and every constant is
that of facenet-pytorch 2.5.3 (`models/utils/detect_face.py`), whose weights are used, so that
boxes and points are the same. It needs NumPy and the runs of the networks, not torch.

Each picture goes through alone: its answer does not depend on the pictures beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from facemodels import imaging
from facemodels.detection.mtcnn.area import AreaSums, Whole
from facemodels.detection.mtcnn.suppression import suppress
from facemodels.detection.task import Detections
from facemodels.params import Count, Frozen, parse
from facemodels.runtime import Batch, RunAll

NETWORKS = ("pnet", "rnet", "onet")  # proposals, refinement, output
POINTS = 5  # left eye, right eye (of the image), nose, left and right corner of the mouth

_FIELD = 12  # pixels: what one cell of P-Net sees, so the least side of a level
_STRIDE = 2  # pixels between two cells of P-Net
_REFINED, _PLACED = 24, 48  # pixels: the inputs of R-Net and O-Net
_OUTPUTS = {"rnet": (4, 2), "onet": (4, 2 * POINTS, 2)}  # numbers a crop, by output
_IOU_LEVEL, _IOU, OVERLAP = 0.5, 0.7, 0.7  # within a level, between levels and stages, at the end
_CROPS = 512  # crops in one run of R-Net or O-Net
# The best proposals of a level and of all levels that are followed up, so that no picture takes
# for ever. Ordinary ones have a few hundred.
_MOST_IN_LEVEL, _MOST = 4096, 2048

Floats = NDArray[np.float32]
Threshold = Annotated[float, Field(ge=0, le=1)]
Factor = Annotated[float, Field(gt=0, lt=1)]
FaceSize = Annotated[int, Field(ge=_FIELD)]  # pixels


class CascadeSettings(Frozen):
    """What the cascade asks of a face.

    Attributes:
        thresholds: least scores after P-Net, R-Net and O-Net.
        min_face_size: pixels; about the side of the smallest face that is looked for.
        factor: between the sizes of two levels of the pyramid.
        max_pixels: larger pictures are reduced by a whole factor before the search, which
            raises `min_face_size` by that factor.
    """

    thresholds: tuple[Threshold, Threshold, Threshold]
    min_face_size: FaceSize
    factor: Factor
    max_pixels: Count


@dataclass(frozen=True)
class Cascade:
    """A detection model that gives points.

    Attributes:
        networks: the runs of `NETWORKS` by name. Input float32 (N, 3, H, W), RGB, about -1
            to 1. Outputs: `pnet` box offsets (N, 4, h, w) and probabilities (N, 2, h, w);
            `rnet`, of 24 pixels, offsets (N, 4) and probabilities (N, 2); `onet`, of 48,
            offsets, points (N, 10) as five x and five y, and probabilities.
        settings: what is asked of a face.
    """

    networks: Mapping[str, RunAll]
    settings: CascadeSettings

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """Find the faces of uint8 HWC RGB images of any size, in pixels of each image.

        Boxes are clipped to the image; points may lie outside of it.
        """
        return [self._detect(imaging.as_rgb(image)) for image in images]

    def _detect(self, image: NDArray[np.uint8]) -> Detections:
        picture, factor = _reduced(image, self.settings.max_pixels)
        if min(picture.shape[:2]) < self.settings.min_face_size:
            return _NOTHING
        sums = AreaSums(picture)
        found = self._placed(sums, self._refined(sums, self._proposed(sums)))
        return _in_image(found, factor, image.shape)

    def _proposed(self, sums: AreaSums) -> Floats:
        """Squares in which a face may be, (K, 4): stage 1, P-Net over a pyramid."""
        scales = _scales(sums, self.settings)
        levels = [self._level(sums, scale) for scale in scales]
        level = np.repeat(np.arange(len(levels)), [len(scores) for *_, scores in levels])
        offsets, rows, columns, scores = (
            np.concatenate(parts, axis=-1) for parts in zip(*levels, strict=True)
        )
        corner = np.stack([columns, rows], axis=1).astype(np.float32) * _STRIDE
        boxes = np.concatenate([corner + 1, corner + _FIELD], axis=1)
        boxes = np.floor(boxes / np.array(scales, np.float32)[level, None])
        kept = suppress(boxes, scores, _IOU_LEVEL, groups=level)
        boxes, scores, offsets = boxes[kept], scores[kept], offsets.T[kept]
        if _sizes_apart(boxes, level[kept], _IOU):
            best = np.argsort(-scores, kind="stable")[:_MOST]
        else:
            best = suppress(boxes, scores, _IOU)[:_MOST]
        boxes = boxes[best]
        return _squares(boxes + offsets[best] * _twice(boxes[:, 2:] - boxes[:, :2]))

    def _level(self, sums: AreaSums, scale: float) -> tuple[Floats, Whole, Whole, Floats]:
        """What P-Net proposes at one scale: offsets (4, K), rows, columns and scores of cells."""
        size = (int(sums.height * scale + 1), int(sums.width * scale + 1))
        offsets, probabilities = self.networks["pnet"](_normalised(sums.resized(*size)))
        face = probabilities[0, 1]
        cells = np.flatnonzero(face >= self.settings.thresholds[0])
        scores = face.take(cells)
        if len(cells) > _MOST_IN_LEVEL:
            best = np.argsort(-scores, kind="stable")[:_MOST_IN_LEVEL]
            cells, scores = cells[best], scores[best]
        rows, columns = np.divmod(cells, face.shape[1])
        return offsets.reshape(4, -1).take(cells, axis=1), rows, columns, scores

    def _refined(self, sums: AreaSums, boxes: Floats) -> Floats:
        """The squares, moved, that R-Net takes for faces: stage 2."""
        boxes, (offsets, probabilities) = self._looked_at("rnet", sums, boxes, _REFINED)
        scores = probabilities[:, 1]
        passed = np.flatnonzero(scores > self.settings.thresholds[1])
        kept = passed[suppress(boxes[passed], scores[passed], _IOU)]
        return _squares(_moved(boxes[kept], offsets[kept]))

    def _placed(self, sums: AreaSums, boxes: Floats) -> Detections:
        """The faces that O-Net confirms, with their points: stage 3."""
        boxes, (offsets, points, probabilities) = self._looked_at("onet", sums, boxes, _PLACED)
        scores = probabilities[:, 1]
        passed = np.flatnonzero(scores > self.settings.thresholds[2])
        boxes, scores = boxes[passed], scores[passed]
        sides = boxes[:, None, 2:] - boxes[:, None, :2] + 1
        places = points[passed].reshape(-1, 2, POINTS).transpose(0, 2, 1)
        points = np.ascontiguousarray(sides * places + boxes[:, None, :2] - 1)
        boxes = _moved(boxes, offsets[passed])
        kept = suppress(boxes, scores, OVERLAP, overlap="smaller")
        return Detections(boxes[kept], scores[kept], points[kept])

    def _looked_at(
        self, name: str, sums: AreaSums, boxes: Floats, size: int
    ) -> tuple[Floats, list[Floats]]:
        """The boxes that reach into the picture, and what a network says of their crops."""
        pixels = _pixels(boxes, sums)
        inside = (pixels[:, 2:] > pixels[:, :2]).all(axis=1)
        boxes, pixels = boxes[inside], pixels[inside]
        if not len(pixels):
            return boxes, [np.empty((0, width), np.float32) for width in _OUTPUTS[name]]
        parts = [
            self.networks[name](_normalised(sums.crops(pixels[start : start + _CROPS], size)))
            for start in range(0, len(pixels), _CROPS)
        ]
        return boxes, [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]


_NOTHING = Detections(
    np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty((0, POINTS, 2), np.float32)
)


def decode(networks: Mapping[str, RunAll], config: Mapping[str, Any]) -> Cascade:
    """Return the cascade of a package.

    Args:
        networks: the graphs of the package by name.
        config: config.yaml of the package; `decode` holds the settings.

    Raises:
        ParamsError: `decode` does not fit.
    """
    values = {key: value for key, value in config["decode"].items() if key != "name"}
    return Cascade(networks, parse(CascadeSettings, values, "decode"))


def _reduced(image: NDArray[np.uint8], most: int) -> tuple[NDArray[np.uint8], int]:
    """The image with about `most` pixels at most, and the whole factor that it was reduced by."""
    height, width = image.shape[:2]
    factor = math.ceil(math.sqrt(height * width / most))
    if factor <= 1:
        return image, 1
    return np.asarray(Image.fromarray(image).reduce(factor)), factor


def _scales(sums: AreaSums, settings: CascadeSettings) -> list[float]:
    """The scales of the pyramid: from a smallest face of 12 pixels to a picture of 12 pixels."""
    scale = _FIELD / settings.min_face_size
    side = min(sums.height, sums.width) * scale
    scales = []
    while side >= _FIELD:
        scales.append(scale)
        scale *= settings.factor
        side *= settings.factor
    return scales


def _normalised(pixels: Batch) -> Batch:
    pixels -= np.float32(127.5)
    pixels *= np.float32(1 / 128)
    return pixels


def _squares(boxes: Floats) -> Floats:
    """Squares with the centres of the boxes and their longer sides."""
    sides = boxes[:, 2:] - boxes[:, :2]
    longer = sides.max(axis=1, keepdims=True)
    corner = boxes[:, :2] + sides * np.float32(0.5) - longer * np.float32(0.5)
    return np.concatenate([corner, corner + longer], axis=1)


def _moved(boxes: Floats, offsets: Floats) -> Floats:
    """Boxes whose corners are moved by parts of their sides."""
    return boxes + offsets * _twice(boxes[:, 2:] - boxes[:, :2] + 1)


def _sizes_apart(boxes: Floats, level: Whole, most: float) -> bool:
    """Whether no box can cover one of another level by more than `most`, as is usual.

    It cannot where its area is a smaller part of the other's. Within a level nothing is left
    that covers another box by so much.

    Args:
        boxes: (K, 4).
        level: (K,), rising; boxes of a later level are larger.
        most: intersection over union.
    """
    if not len(boxes):
        return True
    width, height = (boxes[:, 2:] - boxes[:, :2]).T
    areas = width * height
    starts = np.flatnonzero(np.diff(level, prepend=-1))
    largest, smallest = np.maximum.reduceat(areas, starts), np.minimum.reduceat(areas, starts)
    return bool((largest[:-1] / smallest[1:] <= np.float32(most)).all())


def _twice(sides: Floats) -> Floats:
    """Width and height (K, 2) for both corners: (K, 4)."""
    return np.concatenate([sides, sides], axis=1)


def _pixels(boxes: Floats, sums: AreaSums) -> Whole:
    """The pixels of the picture in each box: left, top, right, bottom, the last two excluded.

    The boxes of the cascade count pixels from 1 and include the last one.
    """
    whole = np.trunc(boxes).astype(np.intp)
    low = np.maximum(whole[:, :2], 1) - 1
    high = np.minimum(whole[:, 2:], [sums.width, sums.height])
    return np.concatenate([low, high], axis=1)


def _in_image(found: Detections, factor: int, shape: Sequence[int]) -> Detections:
    """Faces of a reduced picture as faces of the image."""
    limit = np.array([shape[1], shape[0]] * 2, np.float32)
    boxes = np.clip(found.boxes * np.float32(factor), 0, limit)
    points = found.points
    if points is not None and factor > 1:
        half = np.float32(0.5)
        points = (points + half) * np.float32(factor) - half
    return Detections(boxes, found.scores, points)

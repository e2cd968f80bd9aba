"""What every detection architecture gives: boxes and scores of the faces in an image.

Training, validation and serving all come through here, so a package gives the same
faces under torch and under ONNX Runtime. Boxes are x0 y0 x1 y1 in pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from facemodels import imaging
from facemodels.errors import InputError
from facemodels.runtime import Run, RunAll

SCORE_FLOOR = 0.001  # average precision needs the whole curve; serving asks for more
IOU_THRESHOLD = 0.6  # two boxes that overlap more than this are one face
MAX_DETECTIONS = 300  # a picture
# The module with the steps around the graphs of a package, by the name in its `decode`.
_DECODES = {
    "mtcnn": "facemodels.detection.mtcnn.cascade",
    "scrfd": "facemodels.detection.decodes.scrfd",
    "retinaface": "facemodels.detection.decodes.retinaface",
    "yolov8": "facemodels.detection.decodes.yolov8",
}


@dataclass(frozen=True)
class Detections:
    """Faces of one image, best first.

    Attributes:
        boxes: float32 (K, 4), x0 y0 x1 y1 in pixels of the image given.
        scores: float32 (K,), 0..1, falling.
        points: float32 (K, 5, 2), pixels of the image given, in the frame of pixel centres:
            the eye, the eye, the nose, the corner of the mouth and the corner of the mouth, as
            they stand in the image from left to right. None for a model that gives boxes alone.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    points: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.scores)


class DetectionModel(Protocol):
    """A detection model that is ready to use."""

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """Find the faces of uint8 HWC RGB images of any size, in pixels of each image."""


@dataclass(frozen=True)
class Detector:
    """A detection model around a network with YOLO's output.

    Attributes:
        run: float32 (N, 3, S, S), RGB, 0 to 1, to predictions float32 (N, 5, A).
        image_size: S, pixels.
        score_floor: faces that score below this are not reported; the default keeps the
            whole precision-recall curve, callers apply the threshold they need.
        batch: the most images of one run.
    """

    run: Run
    image_size: int
    score_floor: float = SCORE_FLOOR
    batch: int = 16

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """Find the faces of uint8 HWC RGB images of any size, in pixels of each image."""
        found: list[Detections] = []
        for start in range(0, len(images), self.batch):
            found += self._detect(images[start : start + self.batch])
        return found

    def _detect(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        pictures = [imaging.as_rgb(image) for image in images]
        squares = [imaging.letterbox(picture, self.image_size) for picture in pictures]
        output = self.run(to_input(np.stack([square for square, *_ in squares])))
        inside = postprocess(output, self.image_size, score_floor=self.score_floor)
        return [
            Detections(_back(faces.boxes, place, picture.shape[:2]), faces.scores)
            for faces, (_, *place), picture in zip(inside, squares, pictures, strict=True)
        ]


def served(run: Run, config: Mapping[str, Any], metadata: Mapping[str, Any]) -> Detector:
    """Return the detector around a package's ONNX graph."""
    return Detector(run, config["preprocessing"]["size"][0])


def served_graphs(
    graphs: Mapping[str, RunAll], config: Mapping[str, Any], metadata: Mapping[str, Any]
) -> DetectionModel:
    """Return the detector around the several graphs of a package; `decode` names its steps.

    The steps stand in the folder of an architecture, in a module that does not need torch.

    Args:
        graphs: runs the graphs, by name.
        config: config.yaml of the package.
        metadata: metadata.json of the package.

    Raises:
        InputError: there is no decode of that name.
        ParamsError: `decode` does not have the settings that its steps need.
    """
    name = config.get("decode", {}).get("name")
    if name not in _DECODES:
        raise InputError(
            f"there is no decode {name!r}, only {', '.join(_DECODES)}.",
            "Use the release of facemodels that the package was made with, or a newer one.",
        )
    model: DetectionModel = import_module(_DECODES[name]).decode(graphs, config)
    return model


def postprocessing() -> dict[str, Any]:
    """What `postprocess` and `_back` do, for config.yaml of a package."""
    return {
        "output": "predictions (N, 5, A): centre x, centre y, width, height in pixels of the "
        "input, score 0..1",
        "clip": "boxes to the input, then those of the image to the image",
        "score_floor": SCORE_FLOOR,
        "suppression": "greedy, best first; equal scores in the order of the output",
        "overlap": IOU_THRESHOLD,
        "most": MAX_DETECTIONS,
        "boxes": "x0 y0 x1 y1 in pixels of the upright image, edges frame",
    }


def predict(
    model: DetectionModel, images: Sequence[NDArray[np.uint8]]
) -> list[NDArray[np.float32]]:
    """Find the faces of each image: float32 (K, 5), x0 y0 x1 y1 score, an image."""
    return [
        np.concatenate([found.boxes, found.scores[:, None]], axis=1)
        for found in model.detect(images)
    ]


def _back(
    boxes: NDArray[np.float32], place: list[float], shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """Boxes of the letterboxed square as boxes of the image it was made from, clipped to it.

    `place` is scale, pad x, pad y; `shape` the image's height and width.
    """
    scale, pad_x, pad_y = place
    moved = imaging.unletterbox_boxes(boxes, scale, pad_x, pad_y)
    limit = np.array([shape[1], shape[0], shape[1], shape[0]], np.float32)
    clipped: NDArray[np.float32] = np.clip(moved, 0, limit).astype(np.float32)
    return clipped


def to_input(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Turn pictures, uint8 (N, S, S, 3) RGB, into network input, float32 (N, 3, S, S), 0 to 1."""
    planes = np.moveaxis(images, -1, 1).astype(np.float32, order="C")
    planes /= np.float32(255)
    return planes


def decode(
    predictions: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Split the network's output into corner boxes and scores.

    Args:
        predictions: float32 (B, 5, A): centre x, centre y, width, height in pixels, score.

    Returns:
        boxes, float32 (B, A, 4), and scores, float32 (B, A).
    """
    centre, half = predictions[:, 0:2], predictions[:, 2:4] / 2
    corners = np.concatenate([centre - half, centre + half], axis=1)
    return np.ascontiguousarray(corners.transpose(0, 2, 1)), predictions[:, 4]


def area(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Area of each box, (..., 4) to (...,); an inverted box has none."""
    sides = np.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    return np.asarray(sides[..., 0] * sides[..., 1])


def iou(one: NDArray[np.float32], many: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of one box (4,) with many (K, 4), as (K,)."""
    corners = np.concatenate(
        [np.maximum(one[:2], many[:, :2]), np.minimum(one[2:], many[:, 2:])], axis=1
    )
    shared = area(corners)
    union = area(one) + area(many) - shared
    ratio = np.zeros_like(shared)
    np.divide(shared, union, out=ratio, where=union > 0)
    return ratio


def nms(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    *,
    iou_threshold: float = IOU_THRESHOLD,
    max_detections: int = MAX_DETECTIONS,
) -> NDArray[np.intp]:
    """Greedy non-maximum suppression: keep the best, drop what overlaps it, repeat.

    Args:
        boxes: float32 (K, 4).
        scores: float32 (K,).
        iou_threshold: a box is dropped when its IoU with a kept one is above this.
        max_detections: stop after this many.

    Returns:
        Indices of the kept boxes, best first; equal scores keep their order.
    """
    waiting = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(waiting) and len(kept) < max_detections:
        best, waiting = waiting[0], waiting[1:]
        kept.append(int(best))
        waiting = waiting[iou(boxes[best], boxes[waiting]) <= iou_threshold]
    return np.asarray(kept, dtype=np.intp)


def postprocess(
    predictions: NDArray[np.float32],
    image_size: int,
    *,
    score_floor: float = SCORE_FLOOR,
    iou_threshold: float = IOU_THRESHOLD,
    max_detections: int = MAX_DETECTIONS,
) -> list[Detections]:
    """Turn the network's output for a batch into the faces of each picture.

    Args:
        predictions: float32 (B, 5, A), see `decode`.
        image_size: S, side of the input in pixels; boxes are clipped to it.
        score_floor: boxes that score below this are not looked at.
        iou_threshold: see `nms`.
        max_detections: see `nms`.
    """
    boxes, scores = decode(predictions)
    boxes = np.clip(boxes, 0, np.float32(image_size))
    found = []
    for picture_boxes, picture_scores in zip(boxes, scores, strict=True):
        candidates = np.flatnonzero(picture_scores >= score_floor)
        kept = candidates[
            nms(
                picture_boxes[candidates],
                picture_scores[candidates],
                iou_threshold=iou_threshold,
                max_detections=max_detections,
            )
        ]
        found.append(Detections(picture_boxes[kept], picture_scores[kept]))
    return found

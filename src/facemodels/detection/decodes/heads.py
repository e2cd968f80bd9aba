"""What the decodes share: a picture to the input of a graph, and its candidates to faces.

Pictures go through alone, so the batch axis of the graph may be fixed to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from facemodels import imaging
from facemodels.detection.task import MAX_DETECTIONS, SCORE_FLOOR, Detections, nms
from facemodels.errors import InputError
from facemodels.params import Frozen, parse
from facemodels.runtime import RunAll

POINTS = 5
Floats = NDArray[np.float32]
Outputs = Sequence[NDArray[np.float32]]
Share = Annotated[float, Field(ge=0, le=1)]
Place = Annotated[int, Field(ge=0, lt=64)]  # of an output of the graph


class PictureInput(Frozen):
    """How a picture becomes the input of a graph: letterboxed, then (pixel - mean) * scale.

    Attributes:
        size: S, pixels, side of the square.
        fill: grey of the bars, 0..255.
        color: the network's order of channels.
        mean: of each channel, in that order.
        scale: the factor of each channel.
    """

    size: Annotated[int, Field(ge=32, le=4096)]
    fill: Annotated[int, Field(ge=0, le=255)] = 114
    color: Literal["RGB", "BGR"]
    mean: tuple[float, float, float]
    scale: tuple[float, float, float]

    def __call__(self, square: NDArray[np.uint8]) -> Floats:
        """Turn a square uint8 (S, S, 3), RGB, into float32 (1, 3, S, S)."""
        planes = square.transpose(2, 0, 1)[:: 1 if self.color == "RGB" else -1]
        scaled = planes.astype(np.float32) - np.array(self.mean, np.float32)[:, None, None]
        scaled *= np.array(self.scale, np.float32)[:, None, None]
        return np.ascontiguousarray(scaled[None])

    def as_config(self) -> dict[str, Any]:
        """The values for config.yaml of a package."""
        return {
            "color": self.color,
            "resize": "letterbox, bilinear, antialiased when shrinking",
            "size": [self.size, self.size],
            "fill": self.fill,
            "mean": list(self.mean),
            "scale": list(self.scale),
            "layout": "NCHW float32",
        }

    @classmethod
    def of_config(cls, values: Mapping[str, Any]) -> PictureInput:
        """Read the values of config.yaml.

        Raises:
            ParamsError: they do not fit.
        """
        own = {key: values[key] for key in ("fill", "color", "mean", "scale") if key in values}
        return parse(cls, {**own, "size": (values.get("size") or [0])[0]}, "preprocessing")


class HeadSettings(Frozen):
    """What every decode asks of a face.

    Attributes:
        score_floor: candidates that score below this are not looked at.
        iou_threshold: two boxes that overlap more than this are one face.
    """

    score_floor: Share = SCORE_FLOOR
    iou_threshold: Share = 0.4


@dataclass(frozen=True)
class Candidates:
    """What a head says of one square, in its pixels and any order.

    Attributes:
        boxes: float32 (A, 4), x0 y0 x1 y1.
        scores: float32 (A,), 0..1.
        points: float32 (A, 5, 2), or None for a head without points.
    """

    boxes: Floats
    scores: Floats
    points: Floats | None


@dataclass(frozen=True)
class HeadDetector:
    """A detection model around one graph.

    Attributes:
        run: float32 (1, 3, S, S) to the graph's outputs.
        picture: how a picture becomes the input.
        head: the outputs to candidates.
        settings: what is asked of a face.
    """

    run: RunAll
    picture: PictureInput
    head: Callable[[Outputs], Candidates]
    settings: HeadSettings

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """Find the faces of uint8 HWC RGB images of any size, in pixels of each image.

        Boxes are clipped to the image; points may lie outside of it.

        Raises:
            InputError: the graph's outputs are not those that the package says.
        """
        return [self._detect(imaging.as_rgb(image)) for image in images]

    def _detect(self, image: NDArray[np.uint8]) -> Detections:
        size, settings = self.picture.size, self.settings
        square, scale, pad_x, pad_y = imaging.letterbox(image, size, self.picture.fill)
        found = self.head(self.run(self.picture(square)))
        usable = np.isfinite(found.boxes).all(axis=1) & (found.scores >= settings.score_floor)
        rows = np.flatnonzero(usable)
        boxes = np.clip(found.boxes[rows], 0, np.float32(size))
        scores = np.clip(found.scores[rows], 0, 1)
        kept = nms(
            boxes, scores, iou_threshold=settings.iou_threshold, max_detections=MAX_DETECTIONS
        )
        limit = np.array([image.shape[1], image.shape[0]] * 2, np.float32)
        back = imaging.unletterbox_boxes(boxes[kept], scale, pad_x, pad_y)
        points = found.points
        if points is not None:
            pads, half = np.array([pad_x, pad_y]), 0.5  # points are in the centres frame
            points = ((points[rows[kept]] + half - pads) / scale - half).astype(np.float32)
        return Detections(np.clip(back, 0, limit).astype(np.float32), scores[kept], points)


def sigmoid(values: Floats) -> Floats:
    """1 / (1 + exp(-x)), without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * values)), np.float32)


def rows_of(outputs: Outputs, place: int, width: int) -> Floats:
    """One output as float32 (A, width): its leading axes are of the one picture.

    Raises:
        InputError: there is no such output, or it has another width.
    """
    if place >= len(outputs) or outputs[place].shape[-1] != width:
        shape = outputs[place].shape if place < len(outputs) else "none"
        raise InputError(
            f"output {place} of the graph is {shape}, not (…, {width}).",
            "The package was made for another graph.",
        )
    return np.asarray(outputs[place], np.float32).reshape(-1, width)

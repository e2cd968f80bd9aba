"""What every landmark architecture gives: 68 points of a face in a box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from facemodels import imaging
from facemodels.runtime import Run

POINTS = 68  # iBUG 300-W mark-up


class LandmarkModel(Protocol):
    """A landmark model that is ready to use."""

    def fit(
        self, images: Sequence[NDArray[np.uint8]], boxes: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return points float32 (N, 68, 2), x y in pixels, of one face an image.

        Args:
            images: uint8 HWC RGB, any size.
            boxes: float32 (N, 4), x0 y0 x1 y1 of the face in each image, from the hairline to
                the chin (`imaging.face_boxes`).
        """


def preprocess(
    images: Sequence[NDArray[np.uint8]], boxes: NDArray[np.float32], size: int
) -> NDArray[np.float32]:
    """Cut the boxes out of the images: float32 (N, 3, size, size), RGB, 0 to 1."""
    batch = np.empty((len(images), 3, size, size), np.float32)
    for row, (image, box) in enumerate(zip(images, boxes, strict=True)):
        batch[row] = imaging.crop(imaging.as_rgb(image), box, size).transpose(2, 0, 1)
    batch /= np.float32(255)
    return batch


@dataclass(frozen=True)
class PointRegressor:
    """A landmark network on the crop of the box, for example an ONNX graph.

    Attributes:
        run: float32 (N, 3, S, S), RGB, 0 to 1, to points float32 (N, 68, 2) in units of
            the box: 0, 0 is its upper left corner and 1, 1 the lower right one.
        image_size: S, pixels.
        batch: the most images of one run.
    """

    run: Run
    image_size: int
    batch: int = 32

    def fit(
        self, images: Sequence[NDArray[np.uint8]], boxes: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return points float32 (N, 68, 2) of one face an image; see LandmarkModel."""
        points = np.empty((len(images), POINTS, 2), np.float32)
        for start in range(0, len(images), self.batch):
            rows = slice(start, start + self.batch)
            inside = self.run(preprocess(images[rows], boxes[rows], self.image_size))
            corner, opposite = boxes[rows, None, :2], boxes[rows, None, 2:]
            # Boxes count pixel edges, points count pixel centres.
            points[rows] = corner + inside * (opposite - corner) - np.float32(0.5)
        return points


def served(run: Run, config: Mapping[str, Any], metadata: Mapping[str, Any]) -> PointRegressor:
    """Return the landmark model around a package's ONNX graph."""
    return PointRegressor(run, config["preprocessing"]["size"][0])


def postprocessing() -> dict[str, Any]:
    """How a graph's output becomes points, for config.yaml of a package."""
    return {
        "output": "points (N, 68, 2), x y in units of the box: 0 0 is its upper left corner",
        "points": "corner + point * sides - 0.5: pixels of the upright image, centres frame",
    }


def predict(model: LandmarkModel, images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
    """Fit a face that fills the middle of each image: points float32 (68, 2) an image."""
    sizes = np.array([image.shape[1::-1] for image in images], np.float32).reshape(-1, 2)
    boxes = np.concatenate([0.2 * sizes, 0.8 * sizes], axis=1).astype(np.float32)
    return list(model.fit(images, boxes))

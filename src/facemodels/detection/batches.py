"""Training pictures for detection: flip, scale, shift, colour and mosaic.

Everything random comes from the generator that is passed in, so a step's batch
depends on (seed, step) alone and a resumed run sees what an unbroken one saw.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, Self

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from facemodels import imaging
from facemodels.data.splits import DetectionSplit
from facemodels.detection.task import area, to_input
from facemodels.params import Frozen

BORDER_GREY = 114  # what lies outside a picture; the value YOLO letterboxes with
MIN_VISIBLE = 0.25  # a face cut down to less of its area than this is no longer a target
MIN_SIDE = 2.0  # pixels

Part = Annotated[float, Field(ge=0, le=1)]
Picture = NDArray[np.uint8]  # (S, S, 3), RGB
Boxes = NDArray[np.float32]  # (K, 4), x0 y0 x1 y1


@dataclass(frozen=True)
class SceneBatch:
    """Pictures and the faces in them.

    Attributes:
        images: float32 (B, 3, S, S), RGB, 0 to 1.
        boxes: float32 (M, 4), x0 y0 x1 y1 in pixels.
        box_image: int64 (M,), index into `images`, ascending.
    """

    images: torch.Tensor
    boxes: torch.Tensor
    box_image: torch.Tensor

    @classmethod
    def from_arrays(
        cls,
        images: NDArray[np.float32],
        boxes: NDArray[np.float32],
        box_image: NDArray[np.integer[Any]],
    ) -> Self:
        """Wrap NumPy arrays, see the class."""
        return cls(
            torch.from_numpy(images),
            torch.from_numpy(boxes),
            torch.from_numpy(box_image.astype(np.int64)),
        )

    def to(self, device: torch.device | str) -> Self:
        """Copy the batch to a device."""
        return type(self)(self.images.to(device), self.boxes.to(device), self.box_image.to(device))


class SceneAugmentation(Frozen):
    """How far a training picture may be changed; zeros change nothing."""

    flip: Part  # probability of a mirror image
    scale: Annotated[float, Field(ge=0, lt=1)]  # scaled by 1 - scale to 1 + scale
    translate: Part  # shifted by up to this part of the side, each way
    hue: Part  # turned by up to this part of the colour circle, each way
    saturation: Part  # multiplied by 1 - saturation to 1 + saturation
    value: Part  # brightness, likewise
    mosaic: Part  # probability that four pictures share the frame, each at about half its size


def sample(count: int, batch_size: int, *, seed: int, step: int) -> NDArray[np.intp]:
    """Choose the pictures of a step: every epoch shows each picture once, in a new order.

    Args:
        count: pictures in the split.
        batch_size: B.
        seed: the run's seed.
        step: counted from 0.

    Returns:
        B indices. A pure function of its arguments; a batch may span two epochs.
    """
    places = np.arange(step * batch_size, (step + 1) * batch_size)
    epochs, within = places // count, places % count
    chosen = np.empty(batch_size, dtype=np.intp)
    for epoch in np.unique(epochs):
        order = np.random.default_rng([seed, int(epoch), count]).permutation(count)
        mask = epochs == epoch
        chosen[mask] = order[within[mask]]
    return chosen


def training_batch(
    split: DetectionSplit,
    indices: NDArray[np.intp],
    rng: np.random.Generator,
    augmentation: SceneAugmentation,
) -> SceneBatch:
    """Draw an augmented picture for each of `indices`; equal generators give equal batches."""
    pictures, boxes = [], []
    for index in indices:
        picture, faces = augmented(split, int(index), rng, augmentation)
        pictures.append(picture)
        boxes.append(faces)
    counts = [len(faces) for faces in boxes]
    return SceneBatch.from_arrays(
        to_input(np.stack(pictures)),
        np.concatenate(boxes),
        np.repeat(np.arange(len(boxes)), counts),
    )


def augmented(
    split: DetectionSplit, index: int, rng: np.random.Generator, augmentation: SceneAugmentation
) -> tuple[Picture, Boxes]:
    """One augmented picture, uint8 (S, S, 3), and its boxes, float32 (K, 4)."""
    if rng.random() < augmentation.mosaic:
        others = rng.integers(len(split), size=3)
        picture, boxes = _mosaic(split, [index, *map(int, others)], rng, augmentation)
    else:
        picture, boxes = _shifted(split.images[index], split.boxes_of(index), rng, augmentation)
    if rng.random() < augmentation.flip:
        picture, boxes = flip(picture, boxes)
    return jitter_colour(picture, rng, augmentation), boxes


def flip(picture: Picture, boxes: Boxes) -> tuple[Picture, Boxes]:
    """Mirror a picture left to right, and its boxes with it."""
    side = np.float32(picture.shape[1])
    mirrored = boxes.copy()
    mirrored[:, [0, 2]] = side - boxes[:, [2, 0]]
    return picture[:, ::-1], mirrored


def jitter_colour(
    picture: Picture, rng: np.random.Generator, augmentation: SceneAugmentation
) -> Picture:
    """Change hue, saturation and brightness a little."""
    limits = np.array([augmentation.hue, augmentation.saturation, augmentation.value])
    turn, saturation, value = rng.uniform(-1, 1, 3) * limits
    levels = np.arange(256)
    # OpenCV keeps hue in half degrees: 0 to 179.
    tables = (
        (levels + turn * 180) % 180,
        np.clip(levels * (1 + saturation), 0, 255),
        np.clip(levels * (1 + value), 0, 255),
    )
    channels = cv2.split(cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2HSV))
    changed = [
        table.astype(np.uint8)[channel] for table, channel in zip(tables, channels, strict=True)
    ]
    return np.asarray(cv2.cvtColor(cv2.merge(changed), cv2.COLOR_HSV2RGB), dtype=np.uint8)


def place(
    picture: Picture, boxes: Boxes, scale: float, offset: NDArray[np.float64], window: Boxes
) -> tuple[Picture, Boxes]:
    """Scale a picture, shift it, and look at it through a window.

    A pixel edge at x comes to lie at scale * x + offset.

    Args:
        picture: uint8 (S, S, 3).
        boxes: float32 (K, 4).
        scale: of the picture.
        offset: (2,), x and y in pixels of the frame.
        window: (4,), whole pixels x0 y0 x1 y1 of the frame.

    Returns:
        The picture inside the window, and the boxes in frame coordinates, clipped to
        the window, without those too small or too far outside.
    """
    width, height = (int(side) for side in window[2:] - window[:2])
    # OpenCV's (0, 0) is the centre of the first pixel, ours its corner.
    shift = offset - window[:2] + (scale - 1) / 2
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    view = cv2.warpAffine(
        picture,
        matrix,
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(BORDER_GREY,) * 3,
    )
    moved = (boxes * scale + np.tile(offset, 2)).astype(np.float32)
    low, high = np.tile(window[:2], 2), np.tile(window[2:], 2)
    clipped = np.clip(moved, low, high).astype(np.float32)
    large = (clipped[:, 2:] - clipped[:, :2]).min(axis=1, initial=np.inf) >= MIN_SIDE
    seen = area(clipped) >= MIN_VISIBLE * area(moved)
    return np.asarray(view, dtype=np.uint8), clipped[large & seen]


def _shifted(
    picture: Picture, boxes: Boxes, rng: np.random.Generator, augmentation: SceneAugmentation
) -> tuple[Picture, Boxes]:
    """Scale about the centre, then shift."""
    side = picture.shape[0]
    scale = 1 + rng.uniform(-1, 1) * augmentation.scale
    shift = rng.uniform(-1, 1, 2) * augmentation.translate * side
    offset = side * (1 - scale) / 2 + shift
    return place(picture, boxes, scale, offset, np.array([0, 0, side, side], dtype=np.float32))


def _mosaic(
    split: DetectionSplit,
    indices: list[int],
    rng: np.random.Generator,
    augmentation: SceneAugmentation,
) -> tuple[Picture, Boxes]:
    """Four pictures that meet in a point: smaller faces, and four backgrounds, in one frame."""
    side = split.images.shape[1]
    frame = np.empty((side, side, 3), dtype=np.uint8)
    x, y = (int(edge) for edge in rng.integers(side // 4, side - side // 4 + 1, size=2))
    windows = ((0, 0, x, y), (x, 0, side, y), (0, y, x, side), (x, y, side, side))
    found = []
    for index, edges in zip(indices, windows, strict=True):
        window = np.array(edges, dtype=np.float32)
        scale = 0.5 * (1 + rng.uniform(-1, 1) * augmentation.scale)
        # The corner of the picture that faces the meeting point lies on it.
        offset = np.array([x, y]) - scale * side * (window[:2] < np.array([x, y]))
        x0, y0, x1, y1 = edges
        frame[y0:y1, x0:x1], boxes = place(
            split.images[index], split.boxes_of(index), scale, offset, window
        )
        found.append(boxes)
    return frame, np.concatenate(found)


def resized(split: DetectionSplit, size: int) -> DetectionSplit:
    """The split with images of `size` pixels a side; the same one if they are so already."""
    if split.images.shape[1] == size:
        return split
    images = np.stack([imaging.resize(image, size, size) for image in split.images])
    scale = np.float32(size / split.images.shape[1])
    return replace(split, images=images, boxes=split.boxes * scale)

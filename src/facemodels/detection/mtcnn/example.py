"""Find faces and their five points with this package alone: python example.py image.jpg."""

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import yaml
from numpy.typing import NDArray

from facemodels.imaging.picture import upright

Array = NDArray[Any]
config = yaml.safe_load(Path("config.yaml").read_text(encoding="utf-8"))
wanted = config["decode"]
graphs = {
    name: onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    for name, file in config["graphs"].items()
}


def look(name: str, picture: Array, boxes: Any, height: int, width: int) -> Any:
    """What a graph says of boxes of the picture, each resized by the mean over whole pixels."""
    crops = []
    for x0, y0, x1, y1 in boxes:
        crop = picture[y0:y1, x0:x1].astype(np.float64)
        for count in (height, width):  # rows, then columns: each pass puts its axis last but one
            n = len(crop)
            parts = [crop[i * n // count : -(-(i + 1) * n // count)] for i in range(count)]
            crop = np.stack([part.mean(axis=0) for part in parts]).swapaxes(0, 1)
        crops.append(crop.transpose(2, 0, 1))
    batch = (np.array(crops, np.float32).reshape(-1, 3, height, width) - 127.5) / 128
    return graphs[name].run(None, {"images": batch.astype(np.float32)}) if crops else None


def suppress(
    boxes: Array, scores: Array, most: float, border: int = 0, *, smaller: bool = False
) -> list[Any]:
    """Indices of the boxes that no better one covers by more than `most`."""
    falling = np.argsort(scores)[::-1] if smaller else np.argsort(-scores, kind="stable")
    order, kept = list(falling), []
    areas = np.prod(boxes[:, 2:] - boxes[:, :2] + border, axis=1)
    while order:
        best, *order = order
        kept.append(best)
        low = np.maximum(boxes[order, :2], boxes[best, :2])
        sides = np.maximum(np.minimum(boxes[order, 2:], boxes[best, 2:]) - low + border, 0)
        shared, own = np.prod(sides, axis=1), areas[order]
        whole = np.minimum(own, areas[best]) if smaller else own + areas[best] - shared
        order = [i for i, overlap in zip(order, shared / whole, strict=True) if overlap <= most]
    return kept


def squares(boxes: Array) -> tuple[Array, Array]:
    """Squares around the boxes, and their pixels inside of the picture; those without any go."""
    sides = boxes[:, 2:] - boxes[:, :2]
    longer = sides.max(axis=1, keepdims=True)
    corners = boxes[:, :2] + sides / 2 - longer / 2
    boxes = np.concatenate([corners, corners + longer], axis=1)
    pixels = np.trunc(boxes).astype(int)  # the boxes count pixels from 1
    pixels = np.concatenate(
        [np.maximum(pixels[:, :2], 1) - 1, np.minimum(pixels[:, 2:], size)], axis=1
    )
    inside = (pixels[:, 2:] > pixels[:, :2]).all(axis=1)
    return boxes[inside], pixels[inside]


image = upright(sys.argv[1])
factor = max(1, math.ceil(math.sqrt(image.width * image.height / wanted["max_pixels"])))
picture = np.asarray(image.reduce(factor))
size = np.array(picture.shape[1::-1])  # width, height
first, second, third = wanted["thresholds"]

# 32 bits throughout, as the server: a corner that falls on a pixel's edge is cut off likewise.
found, scale = [np.empty((0, 9), np.float32)], 12 / wanted["min_face_size"]
while size.min() * scale >= 12:
    width, height = (size * scale + 1).astype(int)
    offsets, scores = look("pnet", picture, [(0, 0, *size)], height, width)
    rows, columns = np.nonzero(scores[0, 1] >= first)
    corners = 2 * np.stack([columns, rows], axis=1).astype(np.float32)
    boxes = np.floor(np.concatenate([corners + 1, corners + 12], axis=1) / scale)
    level = np.concatenate(
        [boxes, scores[0, 1, rows, columns, None], offsets[0, :, rows, columns]], axis=1
    )
    found.append(level[suppress(boxes, level[:, 4], 0.5)])
    scale *= wanted["factor"]
level = np.concatenate(found)
level = level[suppress(level[:, :4], level[:, 4], 0.7)]
boxes = level[:, :4] + level[:, 5:] * np.tile(level[:, 2:4] - level[:, :2], 2)

boxes, pixels = squares(boxes)
if (output := look("rnet", picture, pixels, 24, 24)) is None:
    sys.exit("no face")
passed = np.flatnonzero(output[1][:, 1] > second)
kept = passed[suppress(boxes[passed], output[1][passed, 1], 0.7)]
boxes = boxes[kept] + output[0][kept] * np.tile(boxes[kept, 2:] - boxes[kept, :2] + 1, 2)

boxes, pixels = squares(boxes)
if (output := look("onet", picture, pixels, 48, 48)) is None:
    sys.exit("no face")
offsets, points, scores = output[0], output[1].reshape(-1, 2, 5), output[2][:, 1]
sides = boxes[:, 2:] - boxes[:, :2] + 1
points = points * sides[:, :, None] + boxes[:, :2, None] - 1
boxes = boxes + offsets * np.tile(sides, 2)
passed = np.flatnonzero(scores > max(third, config.get("threshold", 0)))
for i in passed[suppress(boxes[passed], scores[passed], 0.7, border=1, smaller=True)]:
    x0, y0, x1, y1 = np.clip(boxes[i] * factor, 0, image.size * 2)
    print(f"{scores[i]:.4f} {x0:.4f} {y0:.4f} {x1:.4f} {y1:.4f}", end="")
    print("".join(f"  {x:.4f},{y:.4f}" for x, y in (points[i].T + 0.5) * factor - 0.5))

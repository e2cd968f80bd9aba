"""Find faces with this package alone: python example.py image.jpg."""

import sys
from pathlib import Path

import numpy as np
import onnxruntime
import yaml
from PIL import Image

from facemodels.imaging.picture import upright

config = yaml.safe_load(Path("config.yaml").read_text(encoding="utf-8"))
size, wanted = config["preprocessing"]["size"][0], config["postprocessing"]
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])

image = upright(sys.argv[1])
scale = size / max(image.size)
width, height = (max(1, round(side * scale)) for side in image.size)
left, top = (size - width) // 2, (size - height) // 2
square = Image.new("RGB", (size, size), (config["preprocessing"]["fill"],) * 3)
square.paste(image.resize((width, height), Image.Resampling.BILINEAR), (left, top))
batch = np.asarray(square, np.float32).transpose(2, 0, 1)[None] / np.float32(255)
output = session.run(None, {"images": np.ascontiguousarray(batch)})[0][0]

centre, half, scores = output[0:2].T, output[2:4].T / 2, output[4]
boxes = np.clip(np.concatenate([centre - half, centre + half], axis=1), 0, np.float32(size))
order = [i for i in np.argsort(-scores, kind="stable") if scores[i] >= wanted["score_floor"]]
kept: list[int] = []
while order and len(kept) < wanted["most"]:
    best, *order = order
    kept.append(best)
    low = np.maximum(boxes[order, :2], boxes[best, :2])
    high = np.minimum(boxes[order, 2:], boxes[best, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    areas = np.prod(np.maximum(boxes[[best, *order], 2:] - boxes[[best, *order], :2], 0), axis=1)
    overlaps = shared / np.maximum(areas[0] + areas[1:] - shared, 1e-12)
    order = [i for i, one in zip(order, overlaps, strict=True) if one <= wanted["overlap"]]
for i in kept:
    if scores[i] >= config.get("threshold", 0.25):
        found = (boxes[i].astype(float) - [left, top, left, top]) / scale
        x0, y0, x1, y1 = np.clip(found, 0, image.size * 2)
        print(f"{scores[i]:.4f} {x0:.4f} {y0:.4f} {x1:.4f} {y1:.4f}")

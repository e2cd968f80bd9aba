"""Find faces with this package alone: python example.py image.jpg."""

import sys
from pathlib import Path

import numpy as np
import onnxruntime
import yaml
from PIL import Image, ImageOps

config = yaml.safe_load(Path("config.yaml").read_text(encoding="utf-8"))
size = config["preprocessing"]["size"][0]
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])

image = ImageOps.exif_transpose(Image.open(sys.argv[1])).convert("RGB")
scale = size / max(image.size)
width, height = (max(1, round(side * scale)) for side in image.size)
left, top = (size - width) // 2, (size - height) // 2
square = Image.new("RGB", (size, size), (config["preprocessing"]["fill"],) * 3)
square.paste(image.resize((width, height), Image.Resampling.BILINEAR), (left, top))
batch = np.asarray(square, np.float32).transpose(2, 0, 1)[None] / np.float32(255)
output = session.run(None, {"images": np.ascontiguousarray(batch)})[0][0]

centre, half, scores = output[0:2].T, output[2:4].T / 2, output[4]
boxes = np.concatenate([centre - half, centre + half], axis=1)
order = [i for i in np.argsort(-scores) if scores[i] >= config.get("threshold", 0.25)]
while order:
    best, *order = order
    x0, y0, x1, y1 = (boxes[best] - np.array([left, top, left, top])) / scale
    print(f"{scores[best]:.3f} {x0:.1f} {y0:.1f} {x1:.1f} {y1:.1f}")
    rest = boxes[order]
    shared = np.prod(
        np.clip(
            np.minimum(rest[:, 2:], boxes[best, 2:]) - np.maximum(rest[:, :2], boxes[best, :2]),
            0,
            None,
        ),
        axis=1,
    )
    areas = np.prod(rest[:, 2:] - rest[:, :2], axis=1)
    union = areas + np.prod(boxes[best, 2:] - boxes[best, :2]) - shared
    order = [i for i, overlap in zip(order, shared / union, strict=True) if overlap <= 0.6]

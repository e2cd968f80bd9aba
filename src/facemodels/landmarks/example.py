"""Fit 68 points with this package alone: python example.py face.jpg [x0 y0 x1 y1]."""

import math
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import yaml
from PIL import Image

from facemodels.imaging.picture import upright

config = yaml.safe_load(Path("config.yaml").read_text(encoding="utf-8"))
size = tuple(config["preprocessing"]["size"])
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])

image = upright(sys.argv[1])
# A box reaches from the hairline to the chin; without one, the face fills the image.
x0, y0, x1, y1 = box = [float(v) for v in sys.argv[2:6]] or [0, 0, *image.size]
left, top, right, bottom = math.floor(x0), math.floor(y0), math.ceil(x1), math.ceil(y1)
around = image.crop((left, top, right, bottom))  # black outside of the image
inner = (x0 - left, y0 - top, x1 - left, y1 - top)
crop = around.resize(size, Image.Resampling.BILINEAR, box=inner)
batch = np.asarray(crop, np.float32).transpose(2, 0, 1)[None] / np.float32(255)
inside = session.run(None, {"images": np.ascontiguousarray(batch)})[0][0]
points = np.array(box[:2]) + inside * (np.array(box[2:]) - np.array(box[:2])) - 0.5
for index, (x, y) in enumerate(points):
    print(index, f"{x:.4f} {y:.4f}")

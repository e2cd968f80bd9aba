"""Fit 68 points with this package alone: python example.py face.jpg [x0 y0 x1 y1]."""

import sys
from pathlib import Path

import numpy as np
import onnxruntime
import yaml
from PIL import Image, ImageOps

config = yaml.safe_load(Path("config.yaml").read_text(encoding="utf-8"))
size = tuple(config["preprocessing"]["size"])
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])

image = ImageOps.exif_transpose(Image.open(sys.argv[1])).convert("RGB")
width, height = image.size
# Without a detector's box, take a face that fills the middle of the image.
box = [int(v) for v in sys.argv[2:6]] or [width // 5, height // 5, width * 4 // 5, height * 4 // 5]
x0, y0, x1, y1 = box
crop = image.crop((x0, y0, x1, y1)).resize(size, Image.Resampling.BILINEAR)
batch = np.asarray(crop, np.float32).transpose(2, 0, 1)[None] / np.float32(255)
inside = session.run(None, {"images": np.ascontiguousarray(batch)})[0][0]
points = np.array(box[:2]) + inside * (np.array(box[2:]) - np.array(box[:2])) - 0.5
for index, (x, y) in enumerate(points):
    print(index, round(float(x), 1), round(float(y), 1))

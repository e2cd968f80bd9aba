"""Embed face crops with this package alone: python example.py a.jpg [b.jpg]."""

import sys
from pathlib import Path

import numpy as np
import onnxruntime
import yaml
from numpy.typing import NDArray
from PIL import Image

from facemodels.imaging.picture import upright

config = yaml.safe_load(Path("config.yaml").read_text(encoding="utf-8"))
preprocessing = config["preprocessing"]
size = tuple(preprocessing["size"])
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])


def embed(path: str) -> NDArray[np.float32]:
    """A unit vector for an aligned face crop."""
    pixels = np.asarray(upright(path).resize(size, Image.Resampling.BILINEAR), np.float32)
    if preprocessing["color"] == "BGR":
        pixels = pixels[:, :, ::-1]
    scaled = pixels - np.array(preprocessing["mean"], np.float32)
    scaled = scaled * np.array(preprocessing["scale"], np.float32)
    batch = np.ascontiguousarray(scaled.transpose(2, 0, 1)[None], np.float32)
    vector: NDArray[np.float32] = session.run(None, {"images": batch})[0][0]
    return vector


embeddings = [embed(path) for path in sys.argv[1:]]
print("dimensions:", len(embeddings[0]))
if len(embeddings) > 1:
    score = float(embeddings[0] @ embeddings[1])
    verdict = "same person" if score >= config.get("threshold", 0.5) else "different people"
    print(f"similarity: {score:.6f} ({verdict})")

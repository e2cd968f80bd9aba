"""A package whose graph runs in about a millisecond: YOLOv8n at 64 px, random weights.

python -m benchmarks.light FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from facemodels.detection.yolov8 import network as yolo
from facemodels.names import ModelId
from facemodels.package.build import Content, build
from facemodels.params import Card
from facemodels.training.weights import save_state

_NETWORK = {"scale": "n", "image_size": 64}
_CARD = Card(
    created_at="2026-01-02T03:04:05Z", author="Benchmark", description="Random weights.",
    changelog="First.", known_issues="Knows nothing.", license="Apache-2.0",
    training_dataset="none", parent_version="",
)  # fmt: skip


def main() -> None:
    """Build the package."""
    folder = Path(sys.argv[1])
    weights = folder.with_name("weights") / "model.pt"
    weights.parent.mkdir(parents=True)
    torch.manual_seed(0)
    save_state(yolo.build(scale="n").state_dict(), weights)
    identity = ModelId.parse("det-yolov8-v1.0.0")
    validation = {"metrics": {}, "threshold": 0.4}
    build(Content(identity, weights, _NETWORK, {}, validation, _CARD), folder)


if __name__ == "__main__":
    main()

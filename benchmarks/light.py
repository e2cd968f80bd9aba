"""A package whose graph runs in about a millisecond: YOLOv8n at 64 px, random weights.

python -m benchmarks.light FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from facemodels.detection.yolov8 import YoloV8
from facemodels.names import ModelId
from facemodels.package.build import PackageContent, build
from facemodels.params import Card
from facemodels.training.weights import save_state

_MODEL = YoloV8.of({"scale": "n", "image_size": 64})
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
    save_state(_MODEL.build().state_dict(), weights)
    identity = ModelId.parse("det-yolov8-v1.0.0")
    validation = {"metrics": {}, "threshold": 0.4}
    build(PackageContent(identity, _MODEL, weights, {}, validation, _CARD), folder)


if __name__ == "__main__":
    main()

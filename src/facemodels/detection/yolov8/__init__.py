"""YOLOv8: ultralytics' network and loss in our loop, which can resume to the same bytes.

Source: Jocher et al., Ultralytics YOLOv8, 2023 (AGPL-3.0: see NOTICE).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from facemodels.data.splits import DetectionSplit
from facemodels.detection import metrics
from facemodels.detection.batches import Augmentation, Batch, resized, sample, training_batch
from facemodels.detection.task import Detector
from facemodels.detection.yolov8 import network as yolo
from facemodels.params import Frozen, parse
from facemodels.runtime import Runtime, torch_run
from facemodels.training.job import Interface, TrainJob
from facemodels.training.loop import train_to_file
from facemodels.training.settings import TorchTraining
from facemodels.training.weights import load_state

TITLE = "YOLOv8"
FRAMEWORK = "pytorch"
FRAMEWORK_PACKAGE = "torch"
WEIGHTS = "model.pt"
RUNTIMES: tuple[Runtime, ...] = ("onnx", "torch")
REQUIREMENTS = ("numpy", "onnxruntime", "pillow", "PyYAML")
TRAINING_REQUIREMENTS = ("torch", "torchvision", "ultralytics")
FILL = 114  # grey of the letterbox

_AUGMENTATION = 1  # keeps this generator apart from others of the same seed and step


class Network(Frozen):
    """Shape of the network."""

    scale: Literal["n", "s", "m", "l", "x"]
    image_size: Annotated[int, Field(ge=yolo.STRIDE, multiple_of=yolo.STRIDE)]  # pixels


class Training(TorchTraining):
    """The loop's hyperparameters and those of the augmentation."""

    batch_size: Annotated[int, Field(ge=1)]
    augmentation: Augmentation


def units(train: Mapping[str, Any]) -> int:
    """Steps."""
    return parse(Training, train, "train").steps


def budget(train: Mapping[str, Any], *, epochs: int, images: int) -> dict[str, Any]:
    """As many steps as see each image once an epoch."""
    settings = parse(Training, train, "train")
    return {**train, "steps": max(1, epochs * images // settings.batch_size)}


@dataclass
class BoxTask:
    """Finds every face of a scene, measured by AP on the validation scenes."""

    settings: Training
    size: int
    train: DetectionSplit
    val: DetectionSplit
    monitor: str = "val_ap50_95"

    def batch(self, step: int) -> Batch:
        """Augmented images and boxes of a step."""
        settings = self.settings
        rows = sample(len(self.train), settings.batch_size, seed=settings.seed, step=step)
        rng = np.random.default_rng([settings.seed, step, _AUGMENTATION])
        return training_batch(self.train, rows, rng, settings.augmentation)

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Box, class and edge loss, mean per image."""
        return yolo.loss(network, batch)

    def validate(self, network: nn.Module) -> dict[str, float]:
        """AP50 and AP50-95 on the validation scenes."""
        found = Detector(torch_run(network, self.settings.device), self.size).detect(
            list(self.val.images)
        )
        matches = metrics.match(
            [faces.boxes for faces in found],
            [faces.scores for faces in found],
            [self.val.boxes_of(index) for index in range(len(self.val))],
        )
        return {"val_ap50": metrics.ap50(matches), "val_ap50_95": metrics.ap50_95(matches)}


def train(job: TrainJob) -> None:
    """Train on the split `train`, choose nothing but the stopping point on `val`."""
    settings = parse(Training, job.train, "train")
    shape = parse(Network, job.network, "network")
    train_to_file(
        job,
        settings,
        build=lambda: yolo.build(scale=shape.scale),
        task=lambda: BoxTask(
            settings,
            shape.image_size,
            resized(DetectionSplit.load(job.data / "train"), shape.image_size),
            DetectionSplit.load(job.data / "val"),
        ),
        weights=WEIGHTS,
    )


def interface(network: Mapping[str, Any]) -> Interface:
    """A square RGB image in; 5 numbers for each of the anchors out."""
    size = parse(Network, network, "network").image_size
    anchors = sum((size // stride) ** 2 for stride in (8, 16, 32))
    return Interface(input_shape=(size, size, 3), output_shape=(5, anchors))


def preprocessing(network: Mapping[str, Any]) -> dict[str, Any]:
    """Letterbox to a square, scale to 0..1."""
    size = parse(Network, network, "network").image_size
    return {
        "color": "RGB",
        "resize": "letterbox, bilinear, antialiased when shrinking",
        "size": [size, size],
        "fill": FILL,
        "scale": 1 / 255,
        "layout": "NCHW float32",
    }


def load(weights: Path, network: Mapping[str, Any], *, threads: int) -> Detector:
    """The detector of a model.pt."""
    size = parse(Network, network, "network").image_size
    torch.set_num_threads(threads)
    return Detector(torch_run(_restored(weights, network)), size)


def untrained(network: Mapping[str, Any], data: Path, *, seed: int) -> Detector:
    """The network as it was before its first step."""
    torch.manual_seed(seed)
    shape = parse(Network, network, "network")
    return Detector(torch_run(yolo.build(scale=shape.scale)), shape.image_size)


def export(weights: Path, network: Mapping[str, Any], path: Path) -> float:
    """Write ONNX: `images` float32 (N, 3, S, S) to `predictions` (N, 5, A)."""
    size = parse(Network, network, "network").image_size
    return yolo.export_onnx(_restored(weights, network), path, size)


def _restored(weights: Path, network: Mapping[str, Any]) -> nn.Module:
    net = yolo.build(scale=parse(Network, network, "network").scale)
    load_state(net, weights)
    return net.eval()

"""A landmark network that trains in our loop and exports ONNX."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from facemodels.architecture.contract import Interface
from facemodels.architecture.torch_architecture import TorchArchitecture
from facemodels.data.splits import LandmarkSplit
from facemodels.landmarks.metrics import nme
from facemodels.landmarks.task import PointRegressor, preprocess
from facemodels.params import Count, Frozen
from facemodels.runtime import Run, export_onnx, torch_run
from facemodels.training.settings import TorchTraining


class PixelsNetwork(Frozen):
    image_size: Count = 16


class PixelsTraining(TorchTraining):
    device: str = "cpu"
    mixed_precision: bool = False
    steps: Count = 2
    learning_rate: float = 0.001
    warmup_steps: int = 1
    final_learning_rate: float = 0.1
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    ema_decay: float = 0.0
    validate_every: Count = 2
    checkpoint_every: Count = 1
    patience: int = 0


class Linear(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.layer = nn.Linear(3 * size * size, 68 * 2)

    def forward(self, images: Tensor) -> Tensor:
        return torch.sigmoid(self.layer(images.flatten(1))).reshape(-1, 68, 2)


@dataclass
class PointTask:
    size: int
    train: LandmarkSplit
    val: LandmarkSplit
    monitor: str = "val_score"

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        rows = np.arange(4 * step, 4 * step + 4) % len(self.train.images)
        boxes = self.train.boxes[rows]
        inputs = preprocess(list(self.train.images[rows]), boxes, self.size)
        corner, opposite = boxes[:, None, :2], boxes[:, None, 2:]
        target = (self.train.points[rows] + np.float32(0.5) - corner) / (opposite - corner)
        return torch.from_numpy(inputs), torch.from_numpy(target)

    def outputs(self, network: nn.Module, inputs: Tensor) -> Tensor:
        return network(inputs)

    def loss(self, network: nn.Module, outputs: Tensor, answers: Tensor) -> Tensor:
        return nn.functional.l1_loss(outputs, answers)

    def validate(self, network: nn.Module) -> dict[str, float]:
        model = PointRegressor(torch_run(network), self.size)
        points = model.fit(list(self.val.images), self.val.boxes)
        return {"val_score": -float(nme(points, self.val.points).mean())}


class Pixels(TorchArchitecture[PixelsNetwork, PixelsTraining]):
    """One linear layer from the pixels of the box to the points in it."""

    task, name, title = "landmarks", "pixels", "Linear layer"
    training_requirements = ("torch",)
    network_type = PixelsNetwork
    training_type = PixelsTraining

    def build(self) -> nn.Module:
        return Linear(self.network.image_size)

    def learning_task(self, settings: PixelsTraining, data: Path) -> PointTask:
        splits = (LandmarkSplit.load(data / name) for name in ("train", "val"))
        return PointTask(self.network.image_size, *splits)

    def images_per_step(self, settings: PixelsTraining) -> int:
        return 4

    def predictor(self, run: Run) -> PointRegressor:
        return PointRegressor(run, self.network.image_size)

    def interface(self) -> Interface:
        size = self.network.image_size
        return Interface(input_shape=(size, size, 3), output_shape=(68, 2))

    def preprocessing(self) -> dict[str, Any]:
        size = self.network.image_size
        return {"color": "RGB", "size": [size, size], "scale": 1 / 255, "layout": "NCHW float32"}

    def export_network(self, network: nn.Module, path: Path) -> float:
        size = self.network.image_size
        example = np.random.default_rng(0).random((2, 3, size, size), np.float32)
        return export_onnx(network, path, example, input_name="images", output_name="points")

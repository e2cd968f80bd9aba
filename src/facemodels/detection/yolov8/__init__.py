"""YOLOv8: ultralytics' network and loss in our loop, which can resume to the same bytes.

Source: Jocher et al., Ultralytics YOLOv8, 2023 (AGPL-3.0: see NOTICE).

The class and what it learns stand here; `network` has the network, its loss and its export,
`checkpoint` reads the weights that ultralytics publishes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator
from torch import Tensor, nn

from facemodels.architecture.contract import Interface
from facemodels.architecture.torch_architecture import TorchArchitecture
from facemodels.data.splits import DetectionSplit
from facemodels.detection import coco, metrics
from facemodels.detection.batches import (
    SceneAugmentation,
    SceneBatch,
    resized,
    sample,
    training_batch,
)
from facemodels.detection.task import Detector
from facemodels.detection.yolov8 import checkpoint
from facemodels.detection.yolov8 import network as yolo
from facemodels.params import Frozen
from facemodels.runtime import Run, torch_run
from facemodels.training.settings import TorchTraining

FILL = 114  # grey of the letterbox

_AUGMENTATION = 1  # keeps this generator apart from others of the same seed and step


class YoloV8Network(Frozen):
    """The shape of the network."""

    scale: Literal["n", "s", "m", "l", "x"]
    image_size: Annotated[int, Field(ge=yolo.STRIDE, multiple_of=yolo.STRIDE)]  # pixels


class YoloV8Training(TorchTraining):
    """The loop's hyperparameters and those of the augmentation."""

    batch_size: Annotated[int, Field(ge=1)]
    augmentation: SceneAugmentation

    @model_validator(mode="after")
    def _micro_batches_are_equal(self) -> Self:
        self.require_equal_parts(self.batch_size)
        return self


class YoloV8(TorchArchitecture[YoloV8Network, YoloV8Training]):
    """YOLOv8 with one class: a letterboxed RGB image to boxes and scores."""

    task = "detection"
    name = "yolov8"
    title = "YOLOv8"
    training_requirements = ("torch", "torchvision", "ultralytics")
    network_type = YoloV8Network
    training_type = YoloV8Training

    def build(self) -> nn.Module:
        """Return the network with random weights from torch's generator."""
        return yolo.build(scale=self.network.scale)

    def load_initial(self, network: nn.Module, weights: Path) -> None:
        """Load a state dict of ours, or a checkpoint that ultralytics publishes.

        Of a network with other classes all is taken but the branch that names classes.

        Raises:
            DataError: the file does not hold weights of this network.
        """
        checkpoint.load_into(network, weights)

    def learning_task(self, settings: YoloV8Training, data: Path) -> BoxTask:
        """Return the detection task on the splits below `data`."""
        size = self.network.image_size
        return BoxTask(
            settings,
            size,
            resized(DetectionSplit.load(data / "train"), size),
            DetectionSplit.load(data / "val"),
        )

    def images_per_step(self, settings: YoloV8Training) -> int:
        """Return the size of a batch."""
        return settings.batch_size

    def predictor(self, run: Run) -> Detector:
        """Return the detector around the network."""
        return Detector(run, self.network.image_size)

    def interface(self) -> Interface:
        """Return the shapes: a square RGB image in, 5 numbers for each of the anchors out."""
        size = self.network.image_size
        anchors = sum((size // stride) ** 2 for stride in yolo.STRIDES)
        return Interface(input_shape=(size, size, 3), output_shape=(5, anchors))

    def preprocessing(self) -> dict[str, Any]:
        """Return how the image is letterboxed to a square and scaled to 0..1."""
        size = self.network.image_size
        return {
            "color": "RGB",
            "resize": "letterbox, bilinear, antialiased when shrinking",
            "size": [size, size],
            "fill": FILL,
            "scale": 1 / 255,
            "layout": "NCHW float32",
        }

    def export_network(self, network: nn.Module, path: Path) -> float:
        """Write ONNX: `images` float32 (N, 3, S, S) to `predictions` (N, 5, A)."""
        return yolo.export_onnx(network, path, self.network.image_size)


@dataclass
class BoxTask:
    """Finds every face of a scene, measured by AP on the validation scenes."""

    settings: YoloV8Training
    size: int
    train: DetectionSplit
    val: DetectionSplit
    monitor: str = "val_ap50_95"

    def batch(self, step: int) -> tuple[Tensor, SceneBatch]:
        """Augmented images (B, 3, S, S) of a step, and the same with their boxes."""
        settings = self.settings
        rows = sample(len(self.train), settings.batch_size, seed=settings.seed, step=step)
        rng = np.random.default_rng([settings.seed, step, _AUGMENTATION])
        scenes = training_batch(self.train, rows, rng, settings.augmentation)
        return scenes.images, scenes

    def outputs(self, network: nn.Module, inputs: Tensor) -> Tensor:
        """What the network says of each anchor, see `network.outputs`."""
        return yolo.outputs(network, inputs)

    def loss(self, network: nn.Module, outputs: Tensor, answers: SceneBatch) -> Tensor:
        """Box, class and edge loss, mean per image.

        Its parts are divided by the scores of all faces of the batch, whatever micro-batch an
        image is in.
        """
        return yolo.loss(network, outputs, answers)

    def validate(self, network: nn.Module) -> dict[str, float]:
        """AP50 and AP50-95 on the validation scenes."""
        found = Detector(torch_run(network, self.settings.device), self.size).detect(
            list(self.val.images)
        )
        matches = coco.match(
            [faces.boxes for faces in found],
            [faces.scores for faces in found],
            [self.val.boxes_of(index) for index in range(len(self.val))],
        )
        return {"val_ap50": metrics.ap50(matches), "val_ap50_95": metrics.ap50_95(matches)}

"""Architectures without an ONNX form, in NumPy alone. Their weights are a mean over the data."""

from __future__ import annotations

import json
from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np

from facemodels import imaging
from facemodels.architecture.contract import Architecture, Interface, TrainJob
from facemodels.data.splits import DetectionSplit, LandmarkSplit, RecognitionSplit
from facemodels.detection.task import Detections
from facemodels.errors import DataError, FacemodelsError
from facemodels.files import write_text
from facemodels.params import Count, Frozen
from facemodels.training.settings import TrainingSettings

SIDE = 8  # pixels of the thumbnails


class NoNetwork(Frozen):
    """These architectures have no parameters of their own."""


class MeanTraining(TrainingSettings):
    """One step takes one image into the mean."""

    steps: Count = 2


class MeanArchitecture(Architecture[NoNetwork, MeanTraining]):
    """Learns the mean of what `target` gives of an image; a checkpoint is the sum so far."""

    framework = "numpy"
    framework_package = "numpy"
    weights_file = "model.dat"
    runtimes = ("native",)
    requirements = ("numpy",)
    network_type = NoNetwork
    training_type = MeanTraining

    @abstractmethod
    def targets(self, data: Path) -> np.ndarray:
        """What is averaged, one row an image."""

    @abstractmethod
    def model(self, mean: np.ndarray) -> Any:
        """The predictor of a mean."""

    def units(self, settings: MeanTraining) -> int:
        return settings.steps

    def budget(self, settings: MeanTraining, *, epochs: int, images: int) -> MeanTraining:
        raise FacemodelsError("It sees each image once.")

    def train(self, settings: MeanTraining, job: TrainJob) -> None:
        rows = self.targets(job.data / "train")
        done, total = 0, np.zeros(rows.shape[1:])
        if job.checkpoint.exists():
            done, values = json.loads(job.checkpoint.read_text())
            total = np.array(values)
        job.advance(done)
        while done < settings.steps:
            total += rows[done]
            done += 1
            write_text(job.checkpoint, json.dumps([done, total.tolist()]))
            job.advance(1)
        job.log({"step": float(done), "loss": float(rows.std())})
        write_text(job.output / self.weights_file, json.dumps((total / done).tolist()))

    def load(self, weights: Path, *, threads: int) -> Any:
        try:
            return self.model(np.array(json.loads(weights.read_text()), np.float32))
        except ValueError as error:
            raise DataError(f"{weights} holds no mean.") from error

    def untrained(self, data: Path, *, seed: int) -> Any:
        rows = self.targets(data / "train")
        return self.model(np.zeros(rows.shape[1:], np.float32))

    def preprocessing(self) -> dict[str, Any]:
        return {"color": "RGB"}


def thumbnail(image: np.ndarray) -> np.ndarray:
    """Grey float32 (SIDE, SIDE), 0 to 1."""
    small = imaging.resize(imaging.as_rgb(image), SIDE, SIDE)
    return small.mean(axis=2).astype(np.float32) / np.float32(255)


class Boxes:
    def __init__(self, mean: np.ndarray) -> None:
        self.mean = mean

    def detect(self, images: Any) -> list[Detections]:
        found = []
        for image in images:
            grey = thumbnail(image)
            height, width = image.shape[:2]
            low, high = np.minimum(self.mean[:2], 1), np.clip(self.mean[2:], 0, 1)
            box = np.concatenate([low, high]) * np.array([width, height] * 2)
            found.append(Detections(box[None].astype(np.float32), grey.mean(keepdims=True)[0]))
        return found


class MeanBox(MeanArchitecture):
    """Finds the mean box in every image, with its brightness for a score."""

    task, name, title = "detection", "meanbox", "Mean box"

    def targets(self, data: Path) -> np.ndarray:
        split = DetectionSplit.load(data)
        first = [split.boxes_of(index)[:1].sum(axis=0) for index in range(len(split))]
        return np.array(first, np.float64) / split.images.shape[1]

    def model(self, mean: np.ndarray) -> Boxes:
        return Boxes(mean)

    def interface(self) -> Interface:
        return Interface(input_shape=(0, 0, 3), output_shape=(5, 0))


class Vectors:
    def __init__(self, mean: np.ndarray) -> None:
        self.mean = mean

    def embed(self, images: Any) -> np.ndarray:
        flat = [(thumbnail(image) - self.mean).ravel() for image in images]
        # The constant last number keeps an image that equals the mean from having no length.
        rows = np.array([[*row, 0.01] for row in flat], np.float32).reshape(-1, SIDE * SIDE + 1)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


class Thumbnail(MeanArchitecture):
    """Embeds a face as its thumbnail less the mean one."""

    task, name, title = "recognition", "thumbnail", "Thumbnail"

    def targets(self, data: Path) -> np.ndarray:
        return np.array([thumbnail(image) for image in RecognitionSplit.load(data).images])

    def model(self, mean: np.ndarray) -> Vectors:
        return Vectors(mean)

    def interface(self) -> Interface:
        return Interface(input_shape=(0, 0, 3), output_shape=(SIDE * SIDE + 1,))


class Points:
    def __init__(self, mean: np.ndarray) -> None:
        self.mean = mean

    def fit(self, images: Any, boxes: np.ndarray) -> np.ndarray:
        points = np.empty((len(images), 68, 2), np.float32)
        for row, (image, box) in enumerate(zip(images, boxes, strict=True)):
            bright = thumbnail(image).mean()  # so that two images differ
            points[row] = box[:2] + (self.mean + bright * 0.01) * (box[2:] - box[:2])
        return points


class MeanShape(MeanArchitecture):
    """Places the mean shape in the box."""

    task, name, title = "landmarks", "meanshape", "Mean shape"

    def targets(self, data: Path) -> np.ndarray:
        split = LandmarkSplit.load(data)
        corner, opposite = split.boxes[:, None, :2], split.boxes[:, None, 2:]
        return (split.points - corner) / (opposite - corner)

    def model(self, mean: np.ndarray) -> Points:
        return Points(mean)

    def interface(self) -> Interface:
        return Interface(input_shape=(0, 0, 3), output_shape=(68, 2))

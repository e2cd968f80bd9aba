"""Choosing the thresholds of the cascade and its least size of a face on training scenes.

No weight is learned. Value after value, the one in use stays unless another finds the faces of
the training scenes better by more than a margin: the scenes are few, and the authors' values
were chosen on many real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from facemodels.data.splits import DetectionSplit
from facemodels.detection import coco, metrics
from facemodels.detection.mtcnn.cascade import FaceSize, Threshold
from facemodels.detection.task import DetectionModel
from facemodels.params import Count
from facemodels.training.settings import TrainingSettings

Values = Mapping[str, float]  # one value for each name of `MtcnnTraining.candidates`


class MtcnnTraining(TrainingSettings):
    """What calibration tries. It starts with the first value of each list, the authors'."""

    init: Literal["pretrained"] = "pretrained"  # the authors' weights stay as they are
    scenes: Count  # of each split, at most; drawn by the seed
    margin: Annotated[float, Field(ge=0)]  # of F1, by which another value must be better
    min_face_size: Annotated[list[FaceSize], Field(min_length=1)]  # pixels
    pnet: Annotated[list[Threshold], Field(min_length=1)]  # least score after P-Net
    rnet: Annotated[list[Threshold], Field(min_length=1)]  # after R-Net
    onet: Annotated[list[Threshold], Field(min_length=1)]  # after O-Net, hence of what is found

    @property
    def candidates(self) -> dict[str, list[float]]:
        """The values to try, by name, in the order in which they are chosen."""
        sizes = [float(size) for size in self.min_face_size]
        return {"min_face_size": sizes, "pnet": self.pnet, "rnet": self.rnet, "onet": self.onet}

    @property
    def trials(self) -> int:
        """How often the training scenes are searched."""
        return 1 + sum(len(values) - 1 for values in self.candidates.values())


@dataclass(frozen=True)
class Trial:
    """One choice of values, and its F1 at IoU 0.5 on the training scenes."""

    values: Values
    f1: float


def calibrate(
    training: MtcnnTraining, f1_of: Callable[[Values], float]
) -> Iterator[tuple[Trial, Trial]]:
    """Try value after value; give each trial, and the choice that stands after it.

    Args:
        training: what is tried.
        f1_of: F1 at IoU 0.5 on the training scenes.
    """
    start = {name: values[0] for name, values in training.candidates.items()}
    choice = Trial(start, f1_of(start))
    yield choice, choice
    for name, (_, *others) in training.candidates.items():
        before = choice
        for value in others:
            values = {**before.values, name: value}
            trial = Trial(values, f1_of(values))
            if trial.f1 > max(before.f1 + training.margin, choice.f1):
                choice = trial
            yield trial, choice


@dataclass(frozen=True)
class Scenes:
    """The scenes of a split that calibration looks at.

    Attributes:
        images: uint8 (H, W, 3) each.
        boxes: float32 (K, 4) each.
    """

    images: list[NDArray[np.uint8]]
    boxes: list[NDArray[np.float32]]

    @classmethod
    def drawn(cls, split: DetectionSplit, count: int, *, seed: int) -> Scenes:
        """Draw at most `count` scenes; equal seeds draw equal ones."""
        order = np.random.default_rng([seed, len(split)]).permutation(len(split))
        rows = sorted(order[:count].tolist())
        return cls([split.images[row] for row in rows], [split.boxes_of(row) for row in rows])

    def rates(self, detector: DetectionModel) -> metrics.DetectionRates:
        """Precision, recall and F1 at IoU 0.5 of all faces that a detector reports."""
        found = detector.detect(self.images)
        boxes, scores = [faces.boxes for faces in found], [faces.scores for faces in found]
        return metrics.rates_at(coco.match(boxes, scores, self.boxes), confidence=0.0)

"""Generated faces for all three tasks, drawn by `facemodels.data.sample`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from facemodels.data.dataset_kind import (
    DatasetSettings,
    DatasetSplits,
    DetectionKind,
    LandmarkKind,
    RecognitionKind,
)
from facemodels.data.sample import generate
from facemodels.data.splits import DetectionSplit, LandmarkSplit, RecognitionSplit
from facemodels.params import Count
from facemodels.progress import progress

SplitT = TypeVar("SplitT", DetectionSplit, RecognitionSplit, LandmarkSplit)


class SampleSettings(DatasetSettings):
    """How many scenes (detection), people (recognition) or faces (landmarks) are drawn.

    Attributes:
        seed: another seed draws other people.
        train: number in the train split.
        val: number in the val split.
        test: number in the test split.
    """

    seed: int
    train: Count
    val: Count
    test: Count


class SampleRecognitionSettings(SampleSettings):
    """How many images and pairs of the people are drawn.

    Attributes:
        images_per_identity: number of images of each person.
        folds: number of folds of the verification pairs of each split.
        pairs_per_fold: most pairs of one person, and as many of two people, in a fold.
    """

    images_per_identity: Count
    folds: Count
    pairs_per_fold: Count


class SampleDetectionKind(DetectionKind[SampleSettings]):
    """Scenes of one to four people."""

    reader = "sample"
    layout = "generated"
    settings = SampleSettings

    def read(self, settings: SampleSettings, *, workers: int) -> DatasetSplits[DetectionSplit]:
        """Draw the scenes of each split."""

        def draw(split: str, count: int, **common: Any) -> DetectionSplit:
            return generate.detection_split(split, scenes=count, **common)

        return _drawn("draw scenes", settings, draw, workers)


class SampleRecognitionKind(RecognitionKind[SampleRecognitionSettings]):
    """Crops of faces, several of each person."""

    reader = "sample"
    layout = "generated"
    settings = SampleRecognitionSettings

    def read(
        self, settings: SampleRecognitionSettings, *, workers: int
    ) -> DatasetSplits[RecognitionSplit]:
        """Draw the crops and the verification pairs of each split."""

        def draw(split: str, count: int, **common: Any) -> RecognitionSplit:
            return generate.recognition_split(
                split,
                identities=count,
                images_per_identity=settings.images_per_identity,
                folds=settings.folds,
                pairs_per_fold=settings.pairs_per_fold,
                **common,
            )

        return _drawn("draw faces", settings, draw, workers, settings.images_per_identity)


class SampleLandmarksKind(LandmarkKind[SampleSettings]):
    """Portraits with 68 points, one person each."""

    reader = "sample"
    layout = "generated"
    settings = SampleSettings

    def read(self, settings: SampleSettings, *, workers: int) -> DatasetSplits[LandmarkSplit]:
        """Draw the portraits of each split."""

        def draw(split: str, count: int, **common: Any) -> LandmarkSplit:
            return generate.landmark_split(split, faces=count, **common)

        return _drawn("draw landmarks", settings, draw, workers)


def _drawn(
    label: str,
    settings: SampleSettings,
    draw: Callable[..., SplitT],
    workers: int,
    images: int = 1,
) -> DatasetSplits[SplitT]:
    """Draw all splits, whose numbers stand for `images` images each, and show the progress."""
    counts = {"train": settings.train, "val": settings.val, "test": settings.test}
    common = {"seed": settings.seed, "image_size": settings.image_size, "workers": workers}
    with progress(label, sum(counts.values()) * images) as advance:
        splits = {
            split: draw(split, count, progress=advance, **common) for split, count in counts.items()
        }
    return DatasetSplits(splits, groups=generate.GROUPS)


KINDS = (SampleDetectionKind(), SampleRecognitionKind(), SampleLandmarksKind())

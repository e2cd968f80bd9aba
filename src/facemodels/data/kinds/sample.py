"""Generated faces for all three tasks, drawn by `facemodels.data.sample`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from facemodels.data.dataset_kind import (
    DatasetSettings,
    DatasetSplits,
    DetectionKind,
    LandmarkKind,
    RecognitionKind,
)
from facemodels.data.sample import generate
from facemodels.data.splits import SPLITS, DetectionSplit, LandmarkSplit, RecognitionSplit
from facemodels.params import Count
from facemodels.progress import Advance, progress

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

    @property
    def counts(self) -> dict[str, int]:
        """The numbers by split."""
        return {"train": self.train, "val": self.val, "test": self.test}


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
        return _drawn(
            "draw scenes",
            sum(settings.counts.values()),
            lambda name, advance: generate.detection_split(
                name,
                seed=settings.seed,
                scenes=settings.counts[name],
                image_size=settings.image_size,
                workers=workers,
                progress=advance,
            ),
        )


class SampleRecognitionKind(RecognitionKind[SampleRecognitionSettings]):
    """Crops of faces, several of each person."""

    reader = "sample"
    layout = "generated"
    settings = SampleRecognitionSettings

    def read(
        self, settings: SampleRecognitionSettings, *, workers: int
    ) -> DatasetSplits[RecognitionSplit]:
        """Draw the crops and the verification pairs of each split."""
        return _drawn(
            "draw faces",
            sum(settings.counts.values()) * settings.images_per_identity,
            lambda name, advance: generate.recognition_split(
                name,
                seed=settings.seed,
                identities=settings.counts[name],
                images_per_identity=settings.images_per_identity,
                image_size=settings.image_size,
                folds=settings.folds,
                pairs_per_fold=settings.pairs_per_fold,
                workers=workers,
                progress=advance,
            ),
        )


class SampleLandmarksKind(LandmarkKind[SampleSettings]):
    """Portraits with 68 points, one person each."""

    reader = "sample"
    layout = "generated"
    settings = SampleSettings

    def read(self, settings: SampleSettings, *, workers: int) -> DatasetSplits[LandmarkSplit]:
        """Draw the portraits of each split."""
        return _drawn(
            "draw landmarks",
            sum(settings.counts.values()),
            lambda name, advance: generate.landmark_split(
                name,
                seed=settings.seed,
                faces=settings.counts[name],
                image_size=settings.image_size,
                workers=workers,
                progress=advance,
            ),
        )


def _drawn(
    label: str, images: int, draw: Callable[[str, Advance], SplitT]
) -> DatasetSplits[SplitT]:
    """All splits, with a bar of progress over their `images`."""
    with progress(label, images) as advance:
        splits = {name: draw(name, advance) for name in SPLITS}
    return DatasetSplits(splits, groups=generate.GROUPS)


KINDS = (SampleDetectionKind(), SampleRecognitionKind(), SampleLandmarksKind())

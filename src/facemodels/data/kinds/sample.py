"""Generated faces for all tasks, drawn by `facemodels.data.sample`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import Field

from facemodels.data.dataset_kind import (
    DatasetSettings,
    DatasetSplits,
    DetectionKind,
    FaceFinder,
    LandmarkKind,
    PhotoKind,
    RecognitionKind,
)
from facemodels.data.executors import Workers
from facemodels.data.image_places import IN_MEMORY, ImagePlace
from facemodels.data.sample import generate
from facemodels.data.splits import DetectionSplit, LandmarkSplit, PhotoSplit, RecognitionSplit
from facemodels.params import Count
from facemodels.progress import progress

SplitT = TypeVar("SplitT", DetectionSplit, RecognitionSplit, LandmarkSplit, PhotoSplit)


class SampleSettings(DatasetSettings):
    """How many scenes (detection), people (recognition) or faces (landmarks) are drawn.

    Attributes:
        image_size: side of the drawn images, which are square.
        seed: another seed draws other people.
        train: number in the train split.
        val: number in the val split.
        test: number in the test split.
    """

    image_size: Count
    seed: int
    train: Count
    val: Count
    test: Count


class SampleRecognitionSettings(SampleSettings):
    """How many images and pairs of the people are drawn, and how the faces are cut.

    Attributes:
        crops: names of the crops, see `facemodels.imaging.crops`.
        images_per_identity: number of images of each person.
        folds: number of folds of the verification pairs of each split.
        pairs_per_fold: most pairs of one person, and as many of two people, in a fold.
    """

    crops: Annotated[tuple[str, ...], Field(min_length=1)] = ("arcface112",)
    images_per_identity: Count
    folds: Count
    pairs_per_fold: Count


class SamplePhotoSettings(SampleSettings):
    """How many photos are drawn of how many people.

    Attributes:
        people: number of people of each split; `train`, `val` and `test` count photos.
    """

    people: Count


class SampleDetectionKind(DetectionKind[SampleSettings]):
    """Scenes of one to four people."""

    reader = "sample"
    layout = "generated"
    settings = SampleSettings

    def read(
        self, settings: SampleSettings, *, workers: Workers, place: ImagePlace = IN_MEMORY
    ) -> DatasetSplits[DetectionSplit]:
        """Draw the scenes of each split."""

        def draw(split: str, count: int, **common: Any) -> DetectionSplit:
            return generate.detection_split(split, scenes=count, **common)

        return _drawn("draw scenes", settings, draw, workers, place)


class SampleRecognitionKind(RecognitionKind[SampleRecognitionSettings]):
    """Crops of faces, several of each person."""

    reader = "sample"
    layout = "generated"
    settings = SampleRecognitionSettings
    without_finder = "none: the exact points"

    def read(
        self,
        settings: SampleRecognitionSettings,
        *,
        workers: Workers,
        place: ImagePlace = IN_MEMORY,
        finder: FaceFinder | None = None,
    ) -> DatasetSplits[RecognitionSplit]:
        """Draw the faces and pairs of each split; their exact points make a finder needless."""

        def draw(split: str, count: int, **common: Any) -> RecognitionSplit:
            return generate.recognition_split(
                split,
                identities=count,
                images_per_identity=settings.images_per_identity,
                folds=settings.folds,
                pairs_per_fold=settings.pairs_per_fold,
                crops=settings.crops,
                **common,
            )

        return _drawn("draw faces", settings, draw, workers, place, settings.images_per_identity)


class SampleLandmarksKind(LandmarkKind[SampleSettings]):
    """Portraits with 68 points, one person each."""

    reader = "sample"
    layout = "generated"
    settings = SampleSettings

    def read(
        self, settings: SampleSettings, *, workers: Workers, place: ImagePlace = IN_MEMORY
    ) -> DatasetSplits[LandmarkSplit]:
        """Draw the portraits of each split."""

        def draw(split: str, count: int, **common: Any) -> LandmarkSplit:
            return generate.landmark_split(split, faces=count, **common)

        return _drawn("draw landmarks", settings, draw, workers, place)


class SamplePhotoKind(PhotoKind[SamplePhotoSettings]):
    """Scenes in which the same people meet again and again."""

    reader = "sample"
    layout = "generated"
    settings = SamplePhotoSettings

    def read(
        self, settings: SamplePhotoSettings, *, workers: Workers, place: ImagePlace = IN_MEMORY
    ) -> DatasetSplits[PhotoSplit]:
        """Draw the photos of each split."""

        def draw(split: str, count: int, **common: Any) -> PhotoSplit:
            return generate.photo_split(split, people=settings.people, photos=count, **common)

        return _drawn("draw photos", settings, draw, workers, place)


def _drawn(
    label: str,
    settings: SampleSettings,
    draw: Callable[..., SplitT],
    workers: Workers,
    place: ImagePlace,
    images: int = 1,
) -> DatasetSplits[SplitT]:
    """Draw all splits, whose numbers stand for `images` images each, and show the progress."""
    counts = {"train": settings.train, "val": settings.val, "test": settings.test}
    common = {
        "seed": settings.seed,
        "image_size": settings.image_size,
        "workers": workers,
        "place": place,
    }
    with progress(label, sum(counts.values()) * images) as advance:
        splits = {
            split: draw(split, count, progress=advance, **common) for split, count in counts.items()
        }
    return DatasetSplits(splits, groups=generate.GROUPS)


KINDS = (
    SampleDetectionKind(),
    SampleRecognitionKind(),
    SampleLandmarksKind(),
    SamplePhotoKind(),
)

"""What a kind of dataset must be able to do: recognise, read, count and show itself.

A kind is one layout of one task, such as Pascal VOC folders for detection. It is an instance
of a class of a module in `facemodels.data.kinds`, which names it in its `KINDS`. To add a
kind, write such a module; `facemodels.data.datasets` finds it, and nothing else changes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, Literal, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from facemodels.data import sheet
from facemodels.data.executors import Workers
from facemodels.data.image_places import IN_MEMORY, ImagePlace
from facemodels.data.problems import Problem
from facemodels.data.splits import (
    NO_GROUP,
    DetectionSplit,
    LandmarkSplit,
    PhotoSplit,
    RecognitionSplit,
)
from facemodels.params import Count, Frozen, Share

Image = NDArray[np.uint8]
Split = DetectionSplit | RecognitionSplit | LandmarkSplit | PhotoSplit


class DatasetSettings(Frozen):
    """Keys that every kind has; a kind's own schema adds the others.

    Attributes:
        reader: name of the kind of dataset, see docs/datasets.md.
        source: folder of the dataset, or of the generator's code. `prepare` depends on it.
        storage: files: the images of a split in one file, made in memory; shards: in files of
            bounded size, for data that does not fit there. Models learn the same from both.
        shard_mb: the most that a shard holds.
    """

    reader: str
    source: str
    storage: Literal["files", "shards"] = "files"
    shard_mb: Count = 64


class FilesSettings(DatasetSettings):
    """Keys of the kinds that read files.

    Attributes:
        allowed_broken: share of broken files above which `prepare` fails.
        allowed_shared: share of a split's pictures that another split may have too; above it
            `prepare` fails. 1 only reports them.
    """

    allowed_broken: Share = 0.05
    allowed_shared: Annotated[float, Field(ge=0, le=1)] = 1.0


class DealtSettings(FilesSettings):
    """Keys of the kinds that deal samples to splits by a hash of their names.

    Attributes:
        seed: changes which samples go to which split.
        val_share: expected share of the samples in the val split.
    """

    seed: int = 1
    val_share: Share = 0.2


SettingsT = TypeVar("SettingsT", bound=DatasetSettings)
SplitT = TypeVar("SplitT", DetectionSplit, RecognitionSplit, LandmarkSplit, PhotoSplit)


class SplitShares(NamedTuple):
    """How much of a dataset without lists becomes val and test; the rest is train."""

    val: float
    test: float


FOR_TRAINING = SplitShares(val=0.2, test=0.2)
FOR_TESTING = SplitShares(val=0.25, test=0.75)  # val chooses the threshold


@dataclass(frozen=True)
class DatasetSplits(Generic[SplitT]):
    """What a kind has read.

    Attributes:
        splits: train, val and test by name.
        problems: files, or parts of files, that were left out.
        groups: names of the groups that the splits number.
        notes: further facts for the report, by name.
        allowed_broken: the largest share of `problems` that is no error, 0 to 1.
    """

    splits: Mapping[str, SplitT]
    problems: Sequence[Problem] = ()
    groups: tuple[str, ...] = ()
    notes: Mapping[str, Any] | None = None
    allowed_broken: float = 0.0


class DatasetKind(ABC, Generic[SettingsT, SplitT]):
    """One layout of datasets of one task. Derive from the class of the task below.

    Attributes:
        task: detection, recognition, landmarks or system.
        reader: the kind's name in conf/data/, unique within its task.
        layout: the files of the layout in a few words of Markdown, for docs/datasets.md.
        settings: the schema of the kind's keys in conf/data/.
        precedence: kinds recognise a path in this order, the lowest number first. A layout
            whose files are also files of another layout needs the lower number.
    """

    task: ClassVar[str]
    reader: ClassVar[str]
    layout: ClassVar[str]
    settings: type[SettingsT]
    precedence: ClassVar[int] = 0

    @abstractmethod
    def read(
        self, settings: SettingsT, *, workers: Workers, place: ImagePlace = IN_MEMORY
    ) -> DatasetSplits[SplitT]:
        """Read the dataset into splits.

        Args:
            settings: which dataset, and how.
            workers: who decodes or draws images; a number of processes, or an executor.
            place: where the images go.

        Raises:
            DataError: the dataset is missing or has another layout.
        """

    @abstractmethod
    def count(self, split: SplitT) -> dict[str, Any]:
        """Numbers that the report shows of a split, by name."""

    @abstractmethod
    def contact_sheet(self, split: SplitT) -> Image:
        """Some samples of a split as one image, uint8 (H, W, 3), RGB."""

    def recognise(self, path: Path, shares: SplitShares) -> SettingsT | None:
        """Settings that read `path`, or None if `path` has another layout.

        One-off commands call it with a path that conf/data/ does not describe.

        Args:
            path: a folder or file that a user named.
            shares: how much becomes val and test where the layout has no lists.
        """
        return None


@dataclass(frozen=True)
class FoundFace:
    """The face of an image that a detector found.

    Attributes:
        box: float32 (4,), x0 y0 x1 y1 in pixels, edges frame.
        points: float32 (5, 2), see `facemodels.imaging.align`; None where the detector gives none.
    """

    box: NDArray[np.float32]
    points: NDArray[np.float32] | None


class FaceFinder(Protocol):
    """Finds the face of an image that shows one person. It is sent to other processes."""

    def __call__(self, image: Image) -> FoundFace | None:
        """Return the face of an image uint8 (H, W, 3), RGB; None if there is none."""


class DetectionKind(DatasetKind[SettingsT, DetectionSplit]):
    """Base of the kinds that give images with face boxes."""

    task = "detection"

    def count(self, split: DetectionSplit) -> dict[str, Any]:
        """Images, faces and the faces of each group."""
        return {
            "images": len(split),
            "faces": len(split.boxes),
            "groups": _count_groups(split.box_group),
        }

    def contact_sheet(self, split: DetectionSplit) -> Image:
        """The first images with their boxes."""
        return sheet.detection_sheet(split)


class RecognitionKind(DatasetKind[SettingsT, RecognitionSplit]):
    """Base of the kinds that give faces with identities.

    Attributes:
        without_finder: what stands for a face where no detector finds it.
    """

    task = "recognition"
    without_finder: ClassVar[str] = "none: the middle of each image"

    @abstractmethod
    def read(
        self,
        settings: SettingsT,
        *,
        workers: Workers,
        place: ImagePlace = IN_MEMORY,
        finder: FaceFinder | None = None,
    ) -> DatasetSplits[RecognitionSplit]:
        """Read the dataset into splits.

        Args:
            settings: which dataset, and how.
            workers: who decodes or draws images; a number of processes, or an executor.
            place: where the images go.
            finder: finds the face to cut out of each image; None cuts out the middle.

        Raises:
            DataError: the dataset is missing or has another layout.
        """

    def count(self, split: RecognitionSplit) -> dict[str, Any]:
        """Images, identities, pairs, faces not found and the images of each group."""
        return {
            "images": len(split),
            "not_found": int((~split.found).sum()),
            "identities": len(np.unique(split.identities)),
            "pairs": len(split.pairs),
            "groups": _count_groups(split.groups),
        }

    def contact_sheet(self, split: RecognitionSplit) -> Image:
        """The first identities, one in each row."""
        return sheet.recognition_sheet(split)


class LandmarkKind(DatasetKind[SettingsT, LandmarkSplit]):
    """Base of the kinds that give faces with 68 points."""

    task = "landmarks"

    def count(self, split: LandmarkSplit) -> dict[str, Any]:
        """Images and the images of each group."""
        return {"images": len(split), "groups": _count_groups(split.groups)}

    def contact_sheet(self, split: LandmarkSplit) -> Image:
        """The first faces with their boxes and points."""
        return sheet.landmark_sheet(split)


class PhotoKind(DatasetKind[SettingsT, PhotoSplit]):
    """Base of the kinds that give photos of people who are known by number."""

    task = "system"

    def count(self, split: PhotoSplit) -> dict[str, Any]:
        """Photos, faces, people and the faces of each group."""
        return {
            "images": len(split),
            "faces": len(split.boxes),
            "identities": len(np.unique(split.person)),
            "groups": _count_groups(split.box_group),
        }

    def contact_sheet(self, split: PhotoSplit) -> Image:
        """The first photos with their boxes."""
        return sheet.detection_sheet(split)


def _count_groups(groups: NDArray[np.int8]) -> dict[str, int]:
    numbers, faces = np.unique(groups[groups != NO_GROUP], return_counts=True)
    return dict(zip(map(str, numbers), map(int, faces), strict=True))

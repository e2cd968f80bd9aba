"""Prepared data: a folder for each split, with a few arrays.

    <split>/images.npy     uint8 (N, S, S, 3), RGB, memory-mapped on load
    <split>/labels.npz     the other arrays of the split, by field name
    groups.json            names of the groups that the arrays number

Thousands of small files are slow to hash, push and pull; two arrays are not. The bytes depend
on the values only, because NumPy dates the members of its archives 1980.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from facemodels.errors import DataError
from facemodels.files import write_json

SPLITS = ("train", "val", "test")
NO_GROUP = -1  # the group of a face that belongs to none


@dataclass(frozen=True)
class _Split:
    """Arrays of equal length, of which `images` has a file of its own.

    Attributes:
        images: uint8 (N, S, S, 3), RGB.
    """

    images: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.images)

    def save(self, folder: Path) -> None:
        """Write the split into `folder`, which is made if it is missing."""
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "images.npy", self.images)
        labels = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "images"}
        np.savez(folder / "labels.npz", allow_pickle=False, **labels)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a split. Images are memory-mapped: they are read from disk when they are used.

        Raises:
            DataError: the folder holds no prepared split of this task.
        """
        try:
            images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
            with np.load(folder / "labels.npz", allow_pickle=False) as archive:
                labels: dict[str, Any] = {
                    f.name: archive[f.name] for f in fields(cls) if f.name != "images"
                }
        except (OSError, KeyError, ValueError) as error:
            raise DataError(
                f"{folder} is not a prepared {cls.__name__}: {error}.",
                "Run `dvc repro prepare` or point to a folder that prepare wrote.",
            ) from error
        return cls(images=images, **labels)


@dataclass(frozen=True)
class DetectionSplit(_Split):
    """Images with face boxes.

    Attributes:
        boxes: float32 (M, 4), x0 y0 x1 y1 in pixels of the prepared image.
        box_image: int32 (M,), index of the box's image.
        box_group: int8 (M,), number of the face's group or NO_GROUP.
    """

    boxes: NDArray[np.float32]
    box_image: NDArray[np.int32]
    box_group: NDArray[np.int8]

    def boxes_of(self, index: int) -> NDArray[np.float32]:
        """Boxes of one image, float32 (K, 4)."""
        chosen: NDArray[np.float32] = self.boxes[self.box_image == index]
        return chosen


@dataclass(frozen=True)
class RecognitionSplit(_Split):
    """Face crops with identities, and verification pairs of them.

    Attributes:
        identities: int32 (N,), the person's number, unique over all splits.
        groups: int8 (N,), group of the face or NO_GROUP.
        pairs: int32 (P, 2), indices into `images`.
        same: bool (P,), whether the pair shows one person.
        folds: int8 (P,), the fold of the pair in k-fold verification.
    """

    identities: NDArray[np.int32]
    groups: NDArray[np.int8]
    pairs: NDArray[np.int32]
    same: NDArray[np.bool_]
    folds: NDArray[np.int8]


@dataclass(frozen=True)
class LandmarkSplit(_Split):
    """Faces with 68 points in iBUG order.

    Attributes:
        boxes: float32 (N, 4), the face box x0 y0 x1 y1 in pixels.
        points: float32 (N, 68, 2), x y in pixels; (0, 0) is the centre of the first pixel.
        groups: int8 (N,), group of the face or NO_GROUP.
    """

    boxes: NDArray[np.float32]
    points: NDArray[np.float32]
    groups: NDArray[np.int8]


def save_group_names(data: Path, names: tuple[str, ...]) -> None:
    """Write the names of the groups that all splits below `data` number."""
    write_json(data / "groups.json", list(names))


def group_names(data: Path) -> tuple[str, ...]:
    """The names of the groups, by number; groups are, for example, skin tones or test sets.

    Raises:
        DataError: `data` holds no prepared data.
    """
    try:
        return tuple(json.loads((data / "groups.json").read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{data} holds no prepared data: {error}.", "Run `dvc repro prepare` first."
        ) from error

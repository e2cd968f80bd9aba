"""Prepared data: a folder for each split, with a few arrays.

    <split>/images.npy     uint8 (N, S, S, 3), RGB, memory-mapped on load; for recognition
                           <crop>.npy, one file for each crop of the faces. Where `storage` is
                           shards, a folder `images` or `<crop>` stands for the file
    <split>/labels.npz     the other arrays of the split, by field name
    groups.json            names of the groups that the arrays number
    faces.json             how the faces of recognition were found

Thousands of small files are slow to hash, push and pull; two arrays are not. The bytes depend
on the values only, because NumPy dates the members of its archives 1980.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from facemodels.data.shards import INDEX, ShardedImages
from facemodels.errors import DataError
from facemodels.files import write_json

SPLITS = ("train", "val", "test")
FACES = "faces.json"  # how the faces of recognition were found
_NO_LABELS = frozenset({"images", "crop", "others"})
NO_GROUP = -1  # the group of a face that belongs to none
WIDER_LEVELS = ("easy", "medium", "hard")
# The groups of a split with the levels of WIDER FACE: bit i of a group's number says whether its
# faces are of level i, so a face may be of several and of none.
LEVEL_GROUPS = tuple(
    "+".join(level for bit, level in enumerate(WIDER_LEVELS) if number >> bit & 1) or "no level"
    for number in range(2 ** len(WIDER_LEVELS))
)
Images = NDArray[np.uint8] | ShardedImages  # (N, S, S, 3), RGB


@dataclass(frozen=True)
class _Split:
    """Arrays of equal length, of which `images` has a file of its own.

    Attributes:
        images: uint8 (N, S, S, 3), RGB.
    """

    _finite: ClassVar[tuple[str, ...]] = ()  # the arrays without NaN and infinity
    images: Images

    def __len__(self) -> int:
        return len(self.images)

    def save(self, folder: Path) -> None:
        """Write the split into `folder`, which is made if it is missing."""
        folder.mkdir(parents=True, exist_ok=True)
        _save_images(folder, "images", self.images)
        self._save_labels(folder)

    def _save_labels(self, folder: Path) -> None:
        labels = {name: getattr(self, name) for name in self._labels()}
        np.savez(folder / "labels.npz", allow_pickle=False, **labels)

    @classmethod
    def _labels(cls) -> list[str]:
        """The names of the arrays beside the images."""
        return [f.name for f in fields(cls) if f.name not in _NO_LABELS]

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a split. Images are memory-mapped: they are read from disk when they are used.

        Raises:
            DataError: the folder holds no prepared split of this task.
        """
        return cls._load(folder, "images")

    @classmethod
    def _load(cls, folder: Path, images_name: str, **others: Any) -> Self:
        try:
            images = _load_images(folder, images_name)
            with np.load(folder / "labels.npz", allow_pickle=False) as archive:
                labels: dict[str, Any] = {name: archive[name] for name in cls._labels()}
        except (OSError, KeyError, ValueError) as error:
            raise DataError(
                f"{folder} is not a prepared {cls.__name__}: {error}.",
                "Run `dvc repro prepare` or point to a folder that prepare wrote.",
            ) from error
        for name in cls._finite:
            if not np.isfinite(labels[name]).all():
                raise DataError(
                    f"{folder / 'labels.npz'} has NaN or infinity among its {name}.",
                    "Run `dvc checkout`, or `dvc repro prepare`.",
                )
        return cls(images=images, **labels, **others)


@dataclass(frozen=True)
class DetectionSplit(_Split):
    """Images with face boxes.

    Attributes:
        boxes: float32 (M, 4), x0 y0 x1 y1 in pixels of the prepared image.
        box_image: int32 (M,), index of the box's image.
        box_group: int8 (M,), number of the face's group or NO_GROUP.
    """

    _finite: ClassVar[tuple[str, ...]] = ("boxes",)
    boxes: NDArray[np.float32]
    box_image: NDArray[np.int32]
    box_group: NDArray[np.int8]

    def boxes_of(self, index: int) -> NDArray[np.float32]:
        """Boxes of one image, float32 (K, 4)."""
        chosen: NDArray[np.float32] = self.boxes[self.box_image == index]
        return chosen


@dataclass(frozen=True)
class PhotoSplit(DetectionSplit):
    """Photos with the faces of people who are known by number.

    Where only the person of a photo is known and not the place of the face, the box is NaN: the
    face nearest to the middle of the photo is meant.

    Attributes:
        person: int32 (M,), the number of the person of each box, unique over all splits.
    """

    _finite = ()
    person: NDArray[np.int32]


@dataclass(frozen=True)
class RecognitionSplit(_Split):
    """Faces with identities in one crop, and verification pairs of them.

    A face that the detector did not find has a black crop. No model may be credited for it:
    it is counted as a failure to acquire, and matches nobody (ISO/IEC 19795-1).

    Attributes:
        found: bool (N,), whether the face was found.
        identities: int32 (N,), the person's number, unique over all splits.
        groups: int8 (N,), group of the face or NO_GROUP.
        pairs: int32 (P, 2), indices into `images`.
        same: bool (P,), whether the pair shows one person.
        folds: int8 (P,), the fold of the pair in k-fold verification.
        crop: name of the crop of `images`, see `facemodels.imaging.crops`.
        others: the same faces in other crops, by name; empty after `load`.
    """

    identities: NDArray[np.int32]
    groups: NDArray[np.int8]
    pairs: NDArray[np.int32]
    same: NDArray[np.bool_]
    folds: NDArray[np.int8]
    found: NDArray[np.bool_]
    crop: str
    others: Mapping[str, Images] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write the split with all its crops into `folder`, which is made if it is missing."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, images in {self.crop: self.images, **self.others}.items():
            _save_images(folder, name, images)
        self._save_labels(folder)

    @classmethod
    def load(cls, folder: Path, crop: str = "") -> Self:
        """Read a split in one crop; its images are memory-mapped.

        Args:
            folder: the folder of the split.
            crop: the name of the crop; "" takes the first by name.

        Raises:
            DataError: the folder holds no prepared split of faces, or none in this crop.
        """
        there = image_names(folder)
        if there and crop and crop not in there:
            raise DataError(
                f"{folder} has its faces as {', '.join(there)}, not as {crop}.",
                f"Add {crop} to data.recognition.crops in conf/data/, and run `dvc repro prepare`.",
            )
        chosen = crop or (there[0] if there else "")
        return cls._load(folder, chosen, crop=chosen)


@dataclass(frozen=True)
class LandmarkSplit(_Split):
    """Faces with 68 points in iBUG order.

    Attributes:
        boxes: float32 (N, 4), the face box x0 y0 x1 y1 in pixels.
        points: float32 (N, 68, 2), x y in pixels; (0, 0) is the centre of the first pixel.
        groups: int8 (N,), group of the face or NO_GROUP.
    """

    _finite = ("boxes", "points")
    boxes: NDArray[np.float32]
    points: NDArray[np.float32]
    groups: NDArray[np.int8]


def image_names(folder: Path) -> list[str]:
    """The names of the images in the folder of a split, sorted: `images`, or those of the crops."""
    files = {path.stem for path in folder.glob("*.npy")}
    return sorted(files | {path.parent.name for path in folder.glob(f"*/{INDEX}")})


def _save_images(folder: Path, name: str, images: Images) -> None:
    """Write images as they are kept: an array to a file; shards lie in the folder already."""
    if isinstance(images, ShardedImages):
        (folder / f"{name}.npy").unlink(missing_ok=True)
        images.save(folder / name)
    else:
        shutil.rmtree(folder / name, ignore_errors=True)
        np.save(folder / f"{name}.npy", images)


def _load_images(folder: Path, name: str) -> Images:
    if (folder / name / INDEX).is_file():
        return ShardedImages.open(folder / name)
    images: NDArray[np.uint8] = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
    return images


def images_of(folder: Path) -> Images:
    """The images in the folder of a split; of faces, those in the first crop by name.

    Raises:
        DataError: it holds no prepared split.
    """
    names = image_names(folder)
    if not names:
        raise DataError(f"{folder} holds no prepared split.", "Run `dvc repro prepare` first.")
    return _load_images(folder, names[0])


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

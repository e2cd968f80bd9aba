"""Reads and checks a golden set: a folder of images with `probes.json` (see docs/probes.md).

Boxes are in the frame of pixel edges, points in the frame of pixel centres; see `imaging`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError, model_validator

from facemodels.errors import DataError
from facemodels.files import sha256
from facemodels.imaging import EXTENSIONS, ImageError, decode
from facemodels.landmarks.metrics import N_POINTS, OUTER_EYE_CORNERS
from facemodels.params import Frozen

FILE = "probes.json"
MAX_PROBES = 2000
MAX_FILE_BYTES = 20_000_000  # of probes.json
MAX_IMAGE_BYTES = 10_000_000  # of one image file; a server takes no larger one by default
MAX_IMAGE_PIXELS = 25_000_000  # of one image; a pair stays within the limit of a request
MAX_TOTAL_BYTES = 100_000_000  # of all image files; they are held in memory
_REMEDY = "docs/probes.md has the format."


def _inside(name: str) -> str:
    path = PurePosixPath(name)
    if (
        "\\" in name
        or not name.isprintable()
        or path.is_absolute()
        or ".." in path.parts
        or path.as_posix() != name
    ):
        raise ValueError("is no path below the folder, such as faces/0001.jpg")
    if path.suffix.lower() not in EXTENSIONS:
        raise ValueError(f"ends in none of {', '.join(sorted(EXTENSIONS))}")
    return name


Number = Annotated[float, Field(allow_inf_nan=False, strict=True)]
ImageName = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_inside)]
Point = tuple[Number, Number]
Rectangle = tuple[Number, Number, Number, Number]


def _with_area(box: Rectangle) -> Rectangle:
    if box[2] <= box[0] or box[3] <= box[1]:
        raise ValueError("is no x0, y0, x1, y1 with an area")
    return box


Box = Annotated[Rectangle, AfterValidator(_with_area)]


class PairProbe(Frozen):
    """Two images, and whether they show one person: aligned face crops for recognition.

    A system gets whole photos; the person is the one with the largest face.
    """

    images: tuple[ImageName, ImageName]
    same: Annotated[bool, Field(strict=True)]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its images."""
        return self.images


class SceneProbe(Frozen):
    """A probe for detection: a picture with the boxes of all its faces; there may be none."""

    image: ImageName
    boxes: tuple[Box, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its images."""
        return (self.image,)


class FaceProbe(Frozen):
    """A probe for landmarks: a picture, the box of one face, and its 68 points in iBUG order."""

    image: ImageName
    box: Box
    points: Annotated[tuple[Point, ...], Field(min_length=N_POINTS, max_length=N_POINTS)]

    @model_validator(mode="after")
    def _has_scale(self) -> Self:
        left, right = (self.points[index] for index in OUTER_EYE_CORNERS)
        if left == right:
            raise ValueError("the outer eye corners coincide, so the face has no scale")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its images."""
        return (self.image,)


Probe = PairProbe | SceneProbe | FaceProbe


class _Set(Frozen):
    format: Literal[1]
    source: str = ""


class _Pairs(_Set):
    task: Literal["recognition", "system"]
    probes: Annotated[tuple[PairProbe, ...], Field(min_length=1, max_length=MAX_PROBES)]

    @model_validator(mode="after")
    def _both_kinds(self) -> Self:
        if len({pair.same for pair in self.probes}) != 2:
            raise ValueError("pairs of both kinds are needed, or a rate is undefined")
        return self


class _Scenes(_Set):
    task: Literal["detection"]
    probes: Annotated[tuple[SceneProbe, ...], Field(min_length=1, max_length=MAX_PROBES)]

    @model_validator(mode="after")
    def _some_face(self) -> Self:
        if not any(scene.boxes for scene in self.probes):
            raise ValueError("no scene has a face, so recall is undefined")
        return self


class _Faces(_Set):
    task: Literal["landmarks"]
    probes: Annotated[tuple[FaceProbe, ...], Field(min_length=1, max_length=MAX_PROBES)]


_File: TypeAdapter[_Pairs | _Scenes | _Faces] = TypeAdapter(
    Annotated[_Pairs | _Scenes | _Faces, Field(discriminator="task")]
)


@dataclass(frozen=True, eq=False)
class GoldenSet:
    """A golden set in memory.

    Attributes:
        task: `detection`, `recognition`, `landmarks` or `system`.
        probes: the probes in the order of the file, all of one kind.
        images: the encoded bytes of each image by its name.
        digest: `sha256:…` of the labels and images; it tells one set from another.
        source: where the set is from, in words.
    """

    task: str
    probes: tuple[Probe, ...]
    images: Mapping[str, bytes]
    digest: str
    source: str

    def __len__(self) -> int:
        return len(self.probes)


def load(folder: Path) -> GoldenSet:
    """Read a golden set, and check all of it before anything is sent.

    Args:
        folder: the folder with `probes.json` and the images that it names.

    Raises:
        DataError: the file is missing or does not fit the schema, an image is missing, lies
            elsewhere, is too large or cannot be decoded, or a label lies outside its image.
    """
    path = folder / FILE
    found = _read(path)
    names = sorted({name for probe in found.probes for name in probe.names})
    images: dict[str, bytes] = {}
    sizes: dict[str, tuple[int, int]] = {}
    left = MAX_TOTAL_BYTES
    for name in names:
        images[name], sizes[name] = _read_image(folder, name)
        left -= len(images[name])
        if left < 0:
            raise DataError(
                f"{path}: the images hold more than {MAX_TOTAL_BYTES} bytes.",
                "Probes are sent every minute: choose fewer, or make them smaller.",
            )
    probes: tuple[Probe, ...] = found.probes
    for number, probe in enumerate(probes):
        for word in _strays(probe, sizes):
            raise DataError(f"{path}: probes.{number}: {word} outside of its image.", _REMEDY)
    return GoldenSet(found.task, probes, images, _digest(path, images), found.source)


def _read(path: Path) -> _Pairs | _Scenes | _Faces:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise DataError(
            f"{path}: {error.strerror}.",
            "Make a set with `facemodels probes make`, or label your own: docs/probes.md.",
        ) from error
    if len(data) > MAX_FILE_BYTES:
        raise DataError(f"{path}: more than {MAX_FILE_BYTES} bytes.", _REMEDY)
    try:
        return _File.validate_python(json.loads(data))
    except ValidationError as error:
        raise DataError(f"{path}: {_first(error)}.", _REMEDY) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: no JSON ({error}).", _REMEDY) from error


def _first(error: ValidationError) -> str:
    """The first of the mistakes with its place in the file, and how many more there are."""
    every = error.errors(include_url=False, include_input=False, include_context=False)
    where = ".".join(str(part) for part in every[0]["loc"])
    more = f" (and {len(every) - 1} more)" if len(every) > 1 else ""
    return f"{where}: {every[0]['msg'].removeprefix('Value error, ')}{more}"


def _read_image(folder: Path, name: str) -> tuple[bytes, tuple[int, int]]:
    """The bytes of an image, and its width and height in pixels."""
    path = folder / name
    # A symbolic link may lead out of the folder, to a file that must not be sent.
    if not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{path} lies outside of the set's folder.", "Copy it into the folder.")
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_IMAGE_BYTES + 1)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}.", _REMEDY) from error
    try:
        pixels = decode(data, max_bytes=MAX_IMAGE_BYTES, max_pixels=MAX_IMAGE_PIXELS)
    except ImageError as error:
        raise ImageError(error.reason, path) from error
    return data, (pixels.shape[1], pixels.shape[0])


def _strays(probe: Probe, sizes: Mapping[str, tuple[int, int]]) -> Iterator[str]:
    """Name the labels whose centre is outside of the image; a face at the edge may be cut off."""
    if isinstance(probe, PairProbe):
        return
    size = np.array(sizes[probe.image])
    boxes = np.array([probe.box] if isinstance(probe, FaceProbe) else probe.boxes).reshape(-1, 2, 2)
    centres = boxes.mean(axis=1)
    if ((centres < 0) | (centres > size)).any():
        yield "a box has its centre"
    if isinstance(probe, FaceProbe):
        centre = np.mean(probe.points, axis=0)
        if (centre < 0).any() or (centre > size).any():
            yield "the points have their centre"


def _digest(path: Path, images: Mapping[str, bytes]) -> str:
    import hashlib

    digest = hashlib.sha256(f"{sha256(path)}  {FILE}\n".encode())
    for name, data in images.items():
        digest.update(f"{hashlib.sha256(data).hexdigest()}  {name}\n".encode())
    return f"sha256:{digest.hexdigest()}"

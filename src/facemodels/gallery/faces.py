"""The face of a photo that is meant, good enough to be enrolled or searched."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from facemodels.errors import InputError
from facemodels.gallery.rows import distinct
from facemodels.imaging import MAX_BYTES, ImageError, chosen, decode
from facemodels.system.faces import Face
from facemodels.system.quality import QualityLimits, Shortfall, shortfall

# Which face of several: the largest, the one in the middle, the one that scores best, each, or
# none: then it is an error.
FaceChoice = Literal["largest", "centre", "best", "all", "error"]
FACE_CHOICES: tuple[FaceChoice, ...] = get_args(FaceChoice)

Problem = Literal["no_face", "several_faces", "poor_face", "other_person", "nobody"]


class FaceError(InputError):
    """A photo whose face cannot be enrolled or searched.

    Attributes:
        problem: what is wrong, for programs.
        photo: the name of the photo in the message.
        lack: the measured value and the limit, where that is what is wrong.
    """

    def __init__(
        self,
        problem: Problem,
        photo: str,
        what: str,
        remedy: str = "",
        *,
        lack: Shortfall | None = None,
    ) -> None:
        self.problem: Problem = problem
        self.photo = photo
        self.lack = lack
        super().__init__(f"{photo} {what}", remedy)


@dataclass(frozen=True, eq=False)
class SourcePhoto:
    """A photo and what identifies it.

    Attributes:
        name: for messages, such as its path.
        data: the encoded bytes.
        source: their SHA-256, hexadecimal.
        image: uint8 (H, W, 3), RGB, upright.
    """

    name: str
    data: bytes
    source: str
    image: NDArray[np.uint8]


def photo_of(data: bytes, name: str) -> SourcePhoto:
    """Decode the bytes of a photo.

    Raises:
        ImageError: they are no picture within limits.
    """
    return SourcePhoto(name, data, hashlib.sha256(data).hexdigest(), decode(data))


def read_photo(path: Path) -> SourcePhoto:
    """Read and decode the file of a photo.

    Raises:
        ImageError: it is missing, or no picture within limits.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ImageError(f"cannot be read ({type(error).__name__})", path) from error
    try:
        return photo_of(data, str(path))
    except ImageError as error:
        raise ImageError(error.reason, path) from error


def meant(
    photo: SourcePhoto,
    faces: Sequence[Face],
    *,
    choose: FaceChoice,
    limits: QualityLimits,
    min_score: float,
) -> list[Face]:
    """Choose among the faces that a system found in a photo.

    Args:
        photo: what they were found in.
        faces: as `FaceSystem.find` gives them; two boxes of one face count once.
        choose: which of several.
        limits: the least of a face that counts.
        min_score: what the system looked for, for the message.

    Returns:
        One face; with `all`, one or more.

    Raises:
        FaceError: there is none, there are several and `error` was asked for, or none is good
            enough.
    """
    each = distinct(faces)
    if not each:
        raise FaceError(
            "no_face", photo.name, f"shows no face that scores {min_score:g} or more.",
            lack=Shortfall("faces", 0, 1),
        )  # fmt: skip
    if choose == "error" and len(each) > 1:
        raise FaceError(
            "several_faces", photo.name, f"shows {len(each)} faces, and 1 is the limit.",
            "Cut the photo, or name the face: `--choose largest` or `--choose centre`.",
            lack=Shortfall("faces", len(each), 1),
        )  # fmt: skip
    if choose != "all" and choose != "error":  # noqa: PLR1714  (mypy narrows these)
        height, width = photo.image.shape[:2]
        boxes = np.stack([face.box for face in each])
        each = [each[chosen(boxes, width, height, choose)]]
    lacks = [shortfall(face.quality, limits) for face in each]
    good = [face for face, lack in zip(each, lacks, strict=True) if lack is None]
    if not good:
        raise FaceError(
            "poor_face",
            photo.name,
            f"shows a face that {lacks[0]}.",
            "Take a better photo.",
            lack=lacks[0],
        )
    return good

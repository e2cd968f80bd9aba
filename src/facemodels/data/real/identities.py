"""Images sorted into one folder for each person, and pairs of them.

LFW, VGGFace2 and exports of CASIA-WebFace have these folders.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facemodels.data.problems import Problem
from facemodels.data.real.files import (
    EXTENSIONS,
    differing_in_case,
    files_below,
    folders_in,
    name_of,
    pictures_of_other_formats,
)
from facemodels.errors import DataError

_SPLIT_FOLDERS = frozenset(
    {"train", "training", "val", "valid", "validation", "test", "testing", "images", "dev", "all"}
)


@dataclass(frozen=True)
class FaceImage:
    """One image of one person."""

    path: Path
    identity: str


@dataclass(frozen=True)
class NamedPair:
    """Two images to compare, whether they show one person, and their fold (from 0)."""

    first: Path
    second: Path
    same: bool
    fold: int


def read_identities(root: Path) -> tuple[list[FaceImage], list[Problem]]:
    """Read `<root>/<identity>/…/<image>`, sorted by folder, then by path.

    Files without the extension of an image and hidden folders are passed over. A folder
    without images is a problem. Folders such as `train` and `val` above those of the people are
    looked through; who is in several of them is one person.

    Raises:
        DataError: `root` is missing or holds no folder with images.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder.", "Point to the folder of identity folders.")
    images: list[FaceImage] = []
    folders = _people(root)
    problems = [
        Problem(second, f"differs from {first} in case only: is it the same person?")
        for first, second in differing_in_case(map(name_of, folders))
    ]
    for folder in folders:
        paths = files_below(folder, EXTENSIONS)
        images += [FaceImage(path, name_of(folder)) for path in paths]
        others = pictures_of_other_formats(folder, root)
        problems += others
        if not paths and not others:
            problems.append(Problem.at(folder, root, "no picture in this identity's folder"))
    if not images:
        raise DataError(
            f"{root} holds no picture in an identity folder.",
            "The layout is <root>/<identity>/<image>.",
        )
    return sorted(images, key=lambda image: image.identity), sorted(problems)


def _people(root: Path) -> list[Path]:
    """The folders of the people below a folder, or below those of its splits."""
    folders = list(folders_in(root))
    inner = [person for folder in folders for person in folders_in(folder)]
    if inner and all(folder.name.lower() in _SPLIT_FOLDERS for folder in folders):
        return inner
    return folders

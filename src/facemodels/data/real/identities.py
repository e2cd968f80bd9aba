"""Images sorted into one folder for each person, and pairs of them.

LFW, VGGFace2 and exports of CASIA-WebFace have these folders.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facemodels.data.problems import Problem
from facemodels.errors import DataError
from facemodels.imaging import EXTENSIONS


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
    """Read `<root>/<identity>/<image>`, sorted by identity, then by file name.

    Files without the extension of an image and hidden folders are passed over. A folder
    without images is a problem.

    Raises:
        DataError: `root` is missing or holds no folder with images.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder.", "Point to the folder of identity folders.")
    images: list[FaceImage] = []
    problems: list[Problem] = []
    folders = (p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    for folder in sorted(folders, key=lambda p: p.name):
        paths = sorted(
            (p for p in folder.iterdir() if p.suffix.lower() in EXTENSIONS and p.is_file()),
            key=lambda p: p.name,
        )
        images += [FaceImage(path, folder.name) for path in paths]
        if not paths:
            problems.append(Problem.at(folder, root, "no picture in this identity's folder"))
    if not images:
        raise DataError(
            f"{root} holds no picture in an identity folder.",
            "The layout is <root>/<identity>/<image>.",
        )
    return images, problems

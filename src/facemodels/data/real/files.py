"""Finds the files of a dataset as people really have them.

Datasets come out of archives of other systems: with files that macOS and Jupyter leave behind,
with names in another Unicode form or case than the list that names them, with `.png` where a list
says `.jpg`, with Windows' separators and byte order marks. None of it is a fault of the data.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
from numpy.typing import NDArray

from facemodels.data.problems import BadAnnotationError, Problem
from facemodels.errors import DataError
from facemodels.imaging import ImageError, decode, image_size

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "PPM", "TIFF")  # PPM: PGM and PBM too
EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp"}
    | {".ppm", ".pgm", ".pbm", ".tif", ".tiff"}
)
OTHER_PICTURES = frozenset({".gif", ".heic", ".heif", ".avif", ".jp2", ".jxl", ".cr2", ".nef"})
_MAX_BYTES = 200_000_000  # of a file; formats that do not compress need 3 bytes a pixel
_LEFTOVERS = frozenset({"__macosx", "thumbs.db", "desktop.ini", "@eadir"})


def _is_leftover(name: str) -> bool:
    """Whether a name is hidden or left behind by a system: `._x.jpg`, `__MACOSX`."""
    return name.startswith(".") or name.lower() in _LEFTOVERS


def files_below(root: Path, extensions: Iterable[str]) -> list[Path]:
    """Files at any depth below `root`, by extension in any case, without leftovers, in order.

    Raises:
        DataError: `root` is no folder.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder.", "Point to the dataset's folder.")
    wanted = tuple(extensions)
    found: list[tuple[str, Path]] = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not _is_leftover(name)]
        below = os.path.relpath(folder, root)
        found += [
            (name if below == "." else f"{below}/{name}", Path(folder, name))
            for name in names
            if name.lower().endswith(wanted) and not _is_leftover(name)
        ]
    return [path for _, path in sorted(found)]


def by_stem(
    folder: Path, extensions: Iterable[str], root: Path
) -> tuple[dict[str, Path], list[Problem]]:
    """Files below a folder by their path without extension, and those whose name is taken.

    Raises:
        DataError: `folder` is no folder.
    """
    found: dict[str, Path] = {}
    problems: list[Problem] = []
    for path in files_below(folder, extensions):
        first = found.setdefault(_key(path.relative_to(folder).with_suffix("").as_posix()), path)
        if first is not path:
            reason = f"{first.name} beside it has the same name but for extension, case or form"
            problems.append(Problem.at(path, root, reason))
    return found, problems


def pictures_of_other_formats(folder: Path, root: Path) -> list[Problem]:
    """A problem for each picture that no reader opens."""
    return [
        Problem.at(path, root, f"{path.suffix.lower()} pictures are not read, only {_accepted()}")
        for path in files_below(folder, OTHER_PICTURES)
    ]


class PictureNames:
    """The pictures below a folder, found by what a list calls them.

    Raises:
        DataError: `folder` is no folder.
    """

    def __init__(self, folder: Path) -> None:
        self._exact: dict[str, Path] = {}
        self._loose: dict[str, Path] = {}
        for path in files_below(folder, EXTENSIONS):
            name = path.relative_to(folder).as_posix()
            self._exact[unicodedata.normalize("NFC", name)] = path
            self._loose.setdefault(_key(str(PurePosixPath(name).with_suffix(""))), path)

    def find(self, name: str) -> Path:
        """The picture of a listed path, with `/` or `\\`.

        If there is none of exactly this name, one that differs in case, Unicode form or
        extension is meant, and then the end of the path: lists have the folders of their author.

        Raises:
            BadAnnotationError: the name leads out of the dataset, or there is no such picture.
        """
        text = unicodedata.normalize("NFC", name.strip())
        windows = "\\" in text
        parts = list(PureWindowsPath(text).parts if windows else PurePosixPath(text).parts)
        anchored = bool(PureWindowsPath(text).anchor if windows else text.startswith("/"))
        if not parts or ".." in parts or "\0" in text or (anchored and not windows):
            raise BadAnnotationError(f"picture {name[:80]!r} lies outside of the dataset")
        parts = parts[1:] if anchored else parts
        for start in range(len(parts) if windows else 1):
            tail = "/".join(parts[start:])
            found = self._exact.get(tail) or self._loose.get(_key(_stem(tail)))
            if found is not None:
                return found
        raise BadAnnotationError(f"no such file as the picture {name[:80]!r}")


def read_text(path: Path, *, errors: str = "strict") -> str:
    """The text of a file in UTF-8, or UTF-16 with a byte order mark; the mark is left out.

    Args:
        path: the file.
        errors: what becomes of bytes that are neither, as for `bytes.decode`.

    Raises:
        BadAnnotationError: it cannot be read, or is neither.
    """
    try:
        data = path.read_bytes()
        utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
        return data.decode("utf-16" if utf16 else "utf-8-sig", errors)
    except (OSError, ValueError) as error:
        raise BadAnnotationError(f"not readable as text ({type(error).__name__})") from error


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Decode a picture of a dataset, uint8 (H, W, 3), RGB, upright.

    Raises:
        ImageError: unreadable, too large, truncated, or not one of `FORMATS`.
    """
    return decode(path, max_bytes=_MAX_BYTES, formats=FORMATS)


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height of the upright picture, pixels.

    Raises:
        BadAnnotationError: the picture cannot be read.
    """
    try:
        return image_size(path, formats=FORMATS)
    except ImageError as error:
        raise BadAnnotationError(f"picture {path.name}: {error.reason}") from error


def name_of(path: Path) -> str:
    """The name of a file or folder as NFC text; bytes that are not UTF-8 are escaped."""
    text = path.name.encode(errors="backslashreplace").decode()
    return unicodedata.normalize("NFC", text)


def differing_in_case(names: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of names that a file system without case would take for one."""
    first: dict[str, str] = {}
    pairs = []
    for name in sorted(set(names)):
        other = first.setdefault(name.casefold(), name)
        if other != name:
            pairs.append((other, name))
    return pairs


def folders_in(root: Path) -> Iterator[Path]:
    """The folders directly in `root`, by name, without leftovers."""
    found = (p for p in root.iterdir() if p.is_dir() and not _is_leftover(p.name))
    return iter(sorted(found, key=lambda path: path.name))


def _key(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def _stem(name: str) -> str:
    path = PurePosixPath(name)
    return str(path.with_suffix("")) if path.suffix.lower() in EXTENSIONS else name


def _accepted() -> str:
    return ", ".join(FORMATS)

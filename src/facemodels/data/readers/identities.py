"""Faces sorted into one folder a person, and LFW's lists of pairs and people.

Sources: Huang et al., "Labeled Faces in the Wild", 2007, README.txt sections 3a to 3d.
VGGFace2 and CASIA-WebFace exports use the same folders.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facemodels.data.problems import Problem
from facemodels.errors import DataError
from facemodels.imaging import EXTENSIONS


@dataclass(frozen=True)
class FaceImage:
    """One picture of one person."""

    path: Path
    identity: str


@dataclass(frozen=True)
class NamedPair:
    """Two pictures to compare, whether they show one person, and their fold (from 0)."""

    first: Path
    second: Path
    same: bool
    fold: int


def read_identities(root: Path) -> tuple[list[FaceImage], list[Problem]]:
    """Read `<root>/<identity>/<image>`, sorted by identity, then file name.

    Files that are not pictures by their extension, and hidden folders, are passed over. A
    folder without pictures is a problem.

    Raises:
        DataError: `root` is missing or holds no folder with pictures.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder.", "Point to the folder of identity folders.")
    samples: list[FaceImage] = []
    problems: list[Problem] = []
    folders = (p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    for folder in sorted(folders, key=lambda p: p.name):
        pictures = sorted(
            (p for p in folder.iterdir() if p.suffix.lower() in EXTENSIONS and p.is_file()),
            key=lambda p: p.name,
        )
        samples += [FaceImage(path, folder.name) for path in pictures]
        if not pictures:
            problems.append(Problem.at(folder, root, "no picture in this identity's folder"))
    if not samples:
        raise DataError(
            f"{root} holds no picture in an identity folder.",
            "The layout is <root>/<identity>/<image>.",
        )
    return samples, problems


def read_lfw_pairs(pairs_txt: Path, root: Path) -> list[NamedPair]:
    """Read a list of pairs: View 2 (`pairs.txt`) or View 1 (`pairsDevTrain.txt`, ...).

    The first line is `<folds> <n>`, or `<n>` alone for one fold. In each fold follow n lines
    `name i j` (one person) and n lines `name i name j` (two people). Picture i of a name is
    `<root>/<name>/<name>_<i, four digits>.jpg`; whether it exists is found when it is decoded.

    Raises:
        DataError: the file is missing or any line does not fit. A protocol is whole or it is
            another protocol, so no line is passed over.
    """
    lines = _lines(pairs_txt)
    head = _counts(lines[0], pairs_txt) if lines else ()
    if len(head) not in (1, 2) or min(head) < 1:
        raise _misfit(pairs_txt, 1, "is not `<folds> <pairs>` or `<pairs>`")
    folds, each = (1, head[0]) if len(head) == 1 else head
    if len(lines) != 1 + folds * 2 * each:
        raise _misfit(pairs_txt, 1, f"promises {folds * 2 * each} pairs, {len(lines) - 1} follow")
    return [
        _pair(line, root, same=index // each % 2 == 0, fold=index // (2 * each), at=(
            pairs_txt, index + 2,
        ))
        for index, line in enumerate(lines[1:])
    ]  # fmt: skip


def read_people(people_txt: Path) -> list[str]:
    """Read a list of people: `peopleDevTrain.txt`, `peopleDevTest.txt` or `people.txt`.

    View 1 is a count, then so many lines `name images`. View 2 is the number of sets, then
    such a block for each. The sets' names are returned one after another.

    Raises:
        DataError: the file is missing, or counts and lines disagree.
    """
    lines = _lines(people_txt)
    single = len(lines) > 1 and len(lines[1].split()) == 2
    cursor, blocks = (0, 1) if single else (1, _first_count(lines, 0, people_txt))
    names: list[str] = []
    for _ in range(blocks):
        count = _first_count(lines, cursor, people_txt)
        block = lines[cursor + 1 : cursor + 1 + count]
        for offset, line in enumerate(block):
            name, *rest = line.split()
            if len(rest) != 1 or not _safe(name):
                raise _misfit(people_txt, cursor + offset + 2, "is not `name images`")
            names.append(name)
        if len(block) != count:
            raise _misfit(people_txt, cursor + 1, f"promises {count} people, {len(block)} follow")
        cursor += 1 + count
    if cursor != len(lines):
        raise _misfit(people_txt, cursor + 1, "comes after the last set")
    return names


def _lines(path: Path) -> list[str]:
    """Lines of a list without blank ones at its end.

    Raises:
        DataError: the file is missing, not UTF-8, or has a blank line within.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read: {error}.", "Point to one of LFW's lists."
        ) from error
    lines = text.rstrip().split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            raise _misfit(path, number, "is blank")
    return lines


def _pair(line: str, root: Path, *, same: bool, fold: int, at: tuple[Path, int]) -> NamedPair:
    parts = line.split()
    if same and len(parts) == 3:
        parts.insert(2, parts[0])
    elif same or len(parts) != 4:
        kind = "`name i j`" if same else "`name i name j`"
        raise _misfit(*at, f"is not {kind}")
    first, i, second, j = parts
    if not (_safe(first) and _safe(second) and _is_count(i) and _is_count(j)):
        raise _misfit(*at, "names no picture")
    return NamedPair(_picture(root, first, i), _picture(root, second, j), same, fold)


def _picture(root: Path, name: str, number: str) -> Path:
    return root / name / f"{name}_{int(number):04d}.jpg"


def _safe(name: str) -> bool:
    """Whether a name stays in the dataset's folder."""
    return name not in (".", "..") and not set(name) & set("/\\\0")


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


def _counts(line: str, path: Path) -> tuple[int, ...]:
    if not all(_is_count(part) for part in line.split()):
        raise _misfit(path, 1, "is not a count")
    return tuple(int(part) for part in line.split())


def _first_count(lines: list[str], index: int, path: Path) -> int:
    if index >= len(lines) or not _is_count(lines[index].strip()):
        raise _misfit(path, index + 1, "is not a count")
    return int(lines[index])


def _misfit(path: Path, line: int, what: str) -> DataError:
    return DataError(
        f"{path}, line {line} {what}.", "Use the list as LFW publishes it (README.txt, 3a to 3d)."
    )

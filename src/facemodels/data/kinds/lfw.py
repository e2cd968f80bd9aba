"""Recognition from identity folders with LFW's lists of people and pairs.

Source: Huang et al., "Labeled Faces in the Wild", 2007, README.txt sections 3a to 3d.
"""

from __future__ import annotations

import unicodedata
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from facemodels.data.dataset_kind import (
    DatasetSplits,
    FaceFinder,
    RecognitionKind,
    SplitShares,
)
from facemodels.data.executors import Workers
from facemodels.data.image_places import IN_MEMORY, ImagePlace
from facemodels.data.problems import BadAnnotationError
from facemodels.data.real.files import PictureNames, read_text
from facemodels.data.real.identities import NamedPair
from facemodels.data.real.recognition import FaceSettings, Fraction, recognition_splits
from facemodels.data.splits import RecognitionSplit
from facemodels.errors import DataError
from facemodels.progress import progress


class LfwSettings(FaceSettings):
    """Lists name the people to train on, and the pairs to choose a threshold on and to report.

    Attributes:
        images: folder of the identity folders below `source`.
        train_people: list of the people to train on, below `source`.
        val_pairs: list of the pairs of the val split.
        test_pairs: list of the pairs of the test split.
        disjoint: leave people of the val and test pairs out of training.
    """

    images: str
    train_people: str = "peopleDevTrain.txt"
    val_pairs: str = "pairsDevTest.txt"
    test_pairs: str = "pairs.txt"
    crop_fraction: Fraction = 0.5
    disjoint: bool = True


class LfwKind(RecognitionKind[LfwSettings]):
    """Identity folders with LFW's lists."""

    reader = "lfw"
    layout = "`<root>/<identity>/<image>` with LFW's `pairs.txt`, `peopleDevTrain.txt`, …"
    settings = LfwSettings
    precedence = 1

    def read(
        self,
        settings: LfwSettings,
        *,
        workers: Workers,
        place: ImagePlace = IN_MEMORY,
        finder: FaceFinder | None = None,
    ) -> DatasetSplits[RecognitionSplit]:
        """Read the lists, then the images that they name."""
        root = Path(settings.source)
        images = root / settings.images
        people = read_people(root / settings.train_people)
        val = read_lfw_pairs(root / settings.val_pairs, images)
        test = read_lfw_pairs(root / settings.test_pairs, images)
        with progress("read faces", None) as advance:
            splits, problems, overlap = recognition_splits(
                root=images,
                train_people=people,
                val_pairs=val,
                test_pairs=test,
                cutting=settings.cutting(finder),
                min_images=settings.min_images,
                disjoint=settings.disjoint,
                workers=workers,
                place=place,
                progress=advance,
            )
        groups: tuple[str, ...] = ()
        if overlap.train_test:
            splits["test"] = _grouped_by_training(splits["test"], splits["train"])
            groups = ("people seen in training", "people never seen")
        return DatasetSplits(
            splits,
            problems,
            groups,
            notes={"overlap": vars(overlap)},
            allowed_broken=settings.allowed_broken,
        )

    def recognise(self, path: Path, shares: SplitShares) -> LfwSettings | None:
        """A folder with `pairs.txt`; its first folder by name holds the identity folders."""
        if not (path / "pairs.txt").is_file():
            return None
        folders = sorted(p.name for p in path.iterdir() if p.is_dir())
        return LfwSettings(
            reader=self.reader, source=str(path), images=folders[0] if folders else "."
        )


def _grouped_by_training(test: RecognitionSplit, train: RecognitionSplit) -> RecognitionSplit:
    """Group 0: test faces of people in `train`. Group 1: the others, a fair measurement."""
    unseen = ~np.isin(test.identities, np.unique(train.identities))
    return replace(test, groups=unseen.astype(np.int8))


def read_lfw_pairs(pairs_txt: Path, root: Path) -> list[NamedPair]:
    """Read a list of pairs: View 2 (`pairs.txt`) or View 1 (`pairsDevTrain.txt`, ...).

    The first line is `<folds> <n>`, or `<n>` alone for one fold. In each fold follow n lines
    `name i j` (one person) and n lines `name i name j` (two people). Image i of a name is
    `<root>/<name>/<name>_<i, four digits>.jpg`; a missing image is found when it is decoded.

    Raises:
        DataError: the file is missing or a line does not fit. No line is passed over, because
            figures on a part of the pairs cannot be compared with published ones.
    """
    lines = _lines(pairs_txt)
    head = _counts(lines[0], pairs_txt) if lines else ()
    if len(head) not in (1, 2) or min(head) < 1:
        raise _misfit(pairs_txt, 1, "is not `<folds> <pairs>` or `<pairs>`")
    folds, each = (1, head[0]) if len(head) == 1 else head
    if len(lines) != 1 + folds * 2 * each:
        raise _misfit(pairs_txt, 1, f"promises {folds * 2 * each} pairs, {len(lines) - 1} follow")
    names = PictureNames(root) if root.is_dir() else None
    return [
        _pair(line, root, names, same=index // each % 2 == 0, fold=index // (2 * each), at=(
            pairs_txt, index + 2,
        ))
        for index, line in enumerate(lines[1:])
    ]  # fmt: skip


def read_people(people_txt: Path) -> list[str]:
    """Read a list of people: `peopleDevTrain.txt`, `peopleDevTest.txt` or `people.txt`.

    A list of View 1 is a count and that many lines `name images`. A list of View 2 is the
    number of sets and such a block for each set; their names are returned in one list.

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
    """The lines of a list, without blank lines at its end.

    Raises:
        DataError: the file is missing, not UTF-8, or has a blank line before its end.
    """
    try:
        text = read_text(path)
    except BadAnnotationError as error:
        raise DataError(f"{path} is {error}.", "Point to one of LFW's lists.") from error
    lines = unicodedata.normalize("NFC", text).rstrip().split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            raise _misfit(path, number, "is blank")
    return lines


def _pair(
    line: str,
    root: Path,
    names: PictureNames | None,
    *,
    same: bool,
    fold: int,
    at: tuple[Path, int],
) -> NamedPair:
    parts = line.split()
    if same and len(parts) == 3:
        parts.insert(2, parts[0])
    elif same or len(parts) != 4:
        kind = "`name i j`" if same else "`name i name j`"
        raise _misfit(*at, f"is not {kind}")
    first, i, second, j = parts
    if not (_safe(first) and _safe(second) and _is_count(i) and _is_count(j)):
        raise _misfit(*at, "names no picture")
    return NamedPair(_image(root, names, first, i), _image(root, names, second, j), same, fold)


def _image(root: Path, names: PictureNames | None, name: str, number: str) -> Path:
    """The picture's file; the name as listed where there is none, which decoding will tell."""
    listed = f"{name}/{name}_{int(number):04d}.jpg"
    with suppress(BadAnnotationError):
        return names.find(listed) if names else root / listed
    return root / listed


def _safe(name: str) -> bool:
    """Whether a name cannot lead out of the dataset's folder."""
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


KINDS = (LfwKind(),)

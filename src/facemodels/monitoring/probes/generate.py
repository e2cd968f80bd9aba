"""Makes a golden set from the prepared test split, whose people and pictures no model has seen."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facemodels.data.splits import DetectionSplit, LandmarkSplit, PhotoSplit, RecognitionSplit
from facemodels.errors import DataError, InputError
from facemodels.files import write_bytes, write_text
from facemodels.monitoring.probes.golden_set import FILE, MAX_PROBES, GoldenSet, load
from facemodels.names import TASKS

PREPARED = Path("data", "prepared")
# With these counts one answer is about 1 % of the accuracy, half of accuracy_drop_threshold.
COUNTS = {"recognition": 100, "detection": 48, "landmarks": 80, "system": 60}
_OF_PAIRS = ("recognition", "system")
_SOURCE = "prepared data, test split"
_PREFIX = "probe-"  # of the names of generated images; it tells them from other files
_DIGITS = 16  # of an image's SHA-256 in its name
_JPEG = {"quality": 92}  # what clients usually send; a sixth of the size of a PNG
_Index = NDArray[np.intp]


def make(
    root: Path,
    task: str,
    folder: Path,
    *,
    count: int | None = None,
    seed: int = 1,
    crop: str = "",
) -> GoldenSet:
    """Make a golden set from `data/prepared/<task>`, with equal numbers from each group of faces.

    The same data, count and seed give the same bytes. Images are named by their content, so a
    reader never gets a mixture of two sets while one replaces the other.

    Args:
        root: the repository's root.
        task: `detection`, `recognition`, `landmarks` or `system`.
        folder: the folder that gets the images and `probes.json`.
        count: the number of pairs (half of them of one person; of whole photos for a system),
            scenes, or faces; the one in `COUNTS` if None.
        seed: the seed of the random choice.
        crop: for recognition: the name of the crop that the models take; "" takes the first of
            those that are prepared.

    Raises:
        InputError: no such task, a count that cannot be had, or a folder with a set that someone
            labelled by hand.
        DataError: the data is not prepared, or the test split has too few of what is asked for.
    """
    if task not in TASKS:
        raise InputError(f"{task!r} is no task.", f"Choose one of {', '.join(TASKS)}.")
    wanted = COUNTS[task] if count is None else count
    if crop and task != "recognition":
        raise InputError(f"{task} has no crops.", "Leave the crop out.")
    if not 2 <= wanted <= MAX_PROBES or (task in _OF_PAIRS and wanted % 2):
        even = ", even for pairs" if task in _OF_PAIRS else ""
        raise InputError(f"A count of {wanted}.", f"Give 2 to {MAX_PROBES}{even}.")
    _refuse_others(folder)
    images: dict[str, bytes] = {}

    def keep(pixels: NDArray[np.uint8]) -> str:
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "JPEG", **_JPEG)
        name = f"{_PREFIX}{hashlib.sha256(stream.getvalue()).hexdigest()[:_DIGITS]}.jpg"
        images[name] = stream.getvalue()
        return name

    choose = partial(_pairs, crop=crop) if task == "recognition" else _LABELS[task]
    labels = choose(root / PREPARED / task, wanted, np.random.default_rng([seed, 5]), keep)
    for name, data in images.items():
        write_bytes(folder / name, data)
    write_text(folder / FILE, _text(task, f"{_SOURCE}, seed {seed}", labels))
    for path in folder.glob(f"{_PREFIX}*.jpg"):
        if path.name not in images:
            path.unlink(missing_ok=True)
    return load(folder)


def _text(task: str, source: str, labels: list[dict[str, Any]]) -> str:
    """The text of probes.json, with one probe a line: it diffs well and is short."""
    head = json.dumps({"format": 1, "task": task, "source": source})
    lines = ",\n".join(json.dumps(label, sort_keys=True) for label in labels)
    return f'{head[:-1]}, "probes": [\n{lines}\n]}}\n'


def _refuse_others(folder: Path) -> None:
    if not (folder / FILE).exists():
        return
    try:
        ours = load(folder).source.startswith(_SOURCE)
    except DataError:
        ours = False
    if not ours:
        raise InputError(
            f"{folder} holds probes that were not made by this command.",
            "Choose another folder, or remove them.",
        )


Keep = Callable[[NDArray[np.uint8]], str]


def _pairs(
    data: Path, count: int, rng: np.random.Generator, keep: Keep, crop: str
) -> list[dict[str, Any]]:
    test = RecognitionSplit.load(data / "test", crop)
    # A real dataset may show one person in several splits.
    seen = np.isin(test.identities, RecognitionSplit.load(data / "train", crop).identities)
    honest = ~seen[test.pairs].any(axis=1)
    groups = test.groups[test.pairs[:, 0]]
    halves = [
        _evenly(rng, np.flatnonzero(honest & (test.same == kind)), groups, count // 2, data)
        for kind in (True, False)
    ]
    return [
        {
            "images": [keep(test.images[index]) for index in test.pairs[row]],
            "same": bool(test.same[row]),
        }
        for row in np.concatenate(halves)
    ]


def _scenes(data: Path, count: int, rng: np.random.Generator, keep: Keep) -> list[dict[str, Any]]:
    test = DetectionSplit.load(data / "test")
    # A scene holds faces of several groups, so scenes are drawn from all.
    everyone = np.zeros(len(test), np.int8)
    rows = _evenly(rng, np.arange(len(test)), everyone, count, data)
    return [
        {"image": keep(test.images[row]), "boxes": _plain(test.boxes_of(int(row)))} for row in rows
    ]


def _faces(data: Path, count: int, rng: np.random.Generator, keep: Keep) -> list[dict[str, Any]]:
    test = LandmarkSplit.load(data / "test")
    rows = _evenly(rng, np.arange(len(test)), test.groups, count, data)
    return [
        {
            "image": keep(test.images[row]),
            "box": _plain(test.boxes[row]),
            "points": _plain(test.points[row]),
        }
        for row in rows
    ]


def _photos(data: Path, count: int, rng: np.random.Generator, keep: Keep) -> list[dict[str, Any]]:
    """Pairs of photos; the person of each is the one with the largest face."""
    test = PhotoSplit.load(data / "test")
    rows = [_largest(test, index) for index in range(len(test))]
    shown = [(index, row) for index, row in enumerate(rows) if row is not None]
    photos, faces = np.array(shown, np.intp).reshape(-1, 2).T
    first, second = np.triu_indices(len(photos), 1)
    same = test.person[faces[first]] == test.person[faces[second]]
    groups = test.box_group[faces[first]]
    halves = [
        _evenly(rng, np.flatnonzero(same == kind), groups, count // 2, data)
        for kind in (True, False)
    ]
    return [
        {
            "images": [keep(np.array(test.images[photos[side[row]]])) for side in (first, second)],
            "same": bool(same[row]),
        }
        for row in np.concatenate(halves)
    ]


def _largest(test: PhotoSplit, index: int) -> np.intp | None:
    """The row of the largest known face of a photo, which may have none."""
    rows = np.flatnonzero(test.box_image == index)
    if not len(rows):
        return None
    sides = test.boxes[rows, 2:] - test.boxes[rows, :2]
    return np.intp(rows[np.nan_to_num(sides.prod(axis=1)).argmax()])


_LABELS: dict[str, Callable[[Path, int, np.random.Generator, Keep], list[dict[str, Any]]]] = {
    "detection": _scenes,
    "landmarks": _faces,
    "system": _photos,
}


def _evenly(
    rng: np.random.Generator,
    candidates: _Index,
    groups: NDArray[np.int8],
    count: int,
    data: Path,
) -> _Index:
    """Choose `count` candidates, from each group in turn while it has some; in rising order."""
    if len(candidates) < count:
        raise DataError(
            f"{data / 'test'} has {len(candidates)} of the {count} that are wanted.",
            "Ask for fewer probes, or prepare more data.",
        )
    shuffled = rng.permutation(candidates)
    # Each candidate's turn within its group; a stable sort by it deals the groups in turn.
    turn = np.zeros(len(shuffled), np.intp)
    for group in np.unique(groups[shuffled]):
        members = np.flatnonzero(groups[shuffled] == group)
        turn[members] = np.arange(len(members))
    return np.sort(shuffled[np.argsort(turn, kind="stable")][:count])


def _plain(values: NDArray[np.float32]) -> Any:
    """The numbers of a label as plain lists, rounded to a hundredth of a pixel."""
    return np.round(values.astype(np.float64), 2).tolist()

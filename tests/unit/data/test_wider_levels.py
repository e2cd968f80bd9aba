"""WIDER FACE's lists of levels, in MATLAB files of the form that its authors publish."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from facemodels.data.real.wider_levels import FACES, LEVELS, counted, read_levels
from facemodels.errors import DataError

EVENTS: Mapping[str, Mapping[str, Any]] = {
    "0--Parade": {
        "0_Parade_1": ([[10, 20, 30, 40], [0, 0, 8, 9], [5, 5, 60, 80]], ([3], [1, 3], [1, 2, 3])),
        "0_Parade_2": ([[1, 2, 3, 4]], ([], [], [1])),
    },
    "1--Handshaking": {"1_Handshaking_7": ([[7, 7, 100, 120]], ([1], [1], [1]))},
}


def cells(values: list[Any]) -> np.ndarray:
    """A MATLAB cell array of one column."""
    column = np.empty((len(values), 1), object)
    for row, value in enumerate(values):
        column[row, 0] = value
    return column


def write(folder: Path, events: Mapping[str, Mapping[str, Any]] = EVENTS) -> Path:
    folder.mkdir(exist_ok=True)
    savemat(folder / FACES, {
        "event_list": cells(list(events)),
        "file_list": cells([cells(list(images)) for images in events.values()]),
        "face_bbx_list": cells([
            cells([np.array(boxes, np.float64) for boxes, _ in images.values()])
            for images in events.values()
        ]),
    })  # fmt: skip
    for place, level in enumerate(LEVELS):
        rows = [
            cells([np.array(lists[place], np.uint8).reshape(-1, 1) for _, lists in images.values()])
            for images in events.values()
        ]
        savemat(folder / f"wider_{level}_val.mat", {"gt_list": cells(rows)})
    return folder


def test_faces_have_corners_in_pixels_and_levels_by_their_rows(tmp_path: Path) -> None:
    images = read_levels(write(tmp_path))
    assert [image.name for image in images] == [
        "0--Parade/0_Parade_1.jpg", "0--Parade/0_Parade_2.jpg", "1--Handshaking/1_Handshaking_7.jpg",
    ]  # fmt: skip
    first = images[0]
    assert first.boxes.tolist() == [[10, 20, 40, 60], [0, 0, 8, 9], [5, 5, 65, 85]]
    assert {level: flags.tolist() for level, flags in first.levels.items()} == {
        "easy": [False, False, True], "medium": [True, False, True], "hard": [True, True, True],
    }  # fmt: skip
    assert images[1].levels["easy"].tolist() == [False]
    assert [flags.sum() for flags in counted(images)["hard"]] == [3, 1, 1]


@pytest.mark.parametrize("file", [FACES, "wider_medium_val.mat"])
def test_a_file_that_is_missing_or_is_another_is_named(tmp_path: Path, file: str) -> None:
    path = write(tmp_path / "levels") / file
    path.write_bytes(b"no matlab" * 50)
    with pytest.raises(DataError, match=file):
        read_levels(path.parent)
    savemat(path, {"other": 1})
    with pytest.raises(DataError, match=file):
        read_levels(path.parent)
    path.unlink()
    with pytest.raises(DataError, match=rf"{file} is not there.*eval_tools"):
        read_levels(path.parent)


@pytest.mark.parametrize(
    ("name", "entry", "words"),
    [
        ("0_Parade_1", ([[1, 2, 3, 4]], ([2], [], [])), "has 1 faces, and a level names row"),
        ("0_Parade_1", ([[1, 2, 3, 4]], ([0], [], [])), "has 1 faces, and a level names row"),
        ("../../etc/x", ([[1, 2, 3, 4]], ([1], [], [])), "outside of the data set"),
        ("0_Parade_1", ([[1, 2, 3]], ([], [], [])), "do not fit"),
    ],
)
def test_lists_that_do_not_fit_are_refused(
    tmp_path: Path, name: str, entry: Any, words: str
) -> None:
    with pytest.raises(DataError, match=words):
        read_levels(write(tmp_path, {"0--Parade": {name: entry}}))


def test_lists_of_different_lengths_are_refused(tmp_path: Path) -> None:
    write(tmp_path)
    savemat(tmp_path / "wider_hard_val.mat", {"gt_list": cells([cells([np.zeros((0, 1))])])})
    with pytest.raises(DataError, match="do not fit each other"):
        read_levels(tmp_path)

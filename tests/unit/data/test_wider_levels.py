"""WIDER FACE's lists of levels, in MATLAB files of the form that its authors publish."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from facemodels.data.kinds.wider import WiderFaceKind, WiderSettings
from facemodels.data.real.wider_levels import FACES, counted, read_levels
from facemodels.data.splits import LEVEL_GROUPS, WIDER_LEVELS, save_group_names
from facemodels.detection.task import Detections
from facemodels.errors import DataError
from facemodels.evaluate import detection as evaluation

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
    for place, level in enumerate(WIDER_LEVELS):
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


class Boxes:
    """A detector that gives the same boxes for every image, from sure to unsure."""

    def __init__(self, boxes: list[list[float]]) -> None:
        self.boxes = np.array(boxes, np.float32)

    def detect(self, images: list[np.ndarray]) -> list[Detections]:
        scores = np.linspace(0.9, 0.5, len(self.boxes), dtype=np.float32)
        return [Detections(self.boxes, scores) for _ in images]


def test_the_levelled_validation_set_is_the_test_split_and_validate_has_its_levels(
    tmp_path: Path,
) -> None:
    faces = [[10, 10, 20, 20], [50, 50, 20, 20], [90, 10, 30, 30]]
    write(tmp_path / "truth", {"0--Parade": {"a": (faces, ([1], [1, 2], [1, 2, 3]))}})
    for name in ("WIDER_val/images/0--Parade/a.jpg", "images/b.jpg", "images/c.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (128, 128)).save(tmp_path / name)
    (tmp_path / "list.txt").write_text("b.jpg\n1\n1 2 30 30\nc.jpg\n1\n1 2 30 30\n")
    settings = WiderSettings(
        reader="wider", source=str(tmp_path), annotations="list.txt", levels="truth",
        image_size=256, val_share=0.5, test_share=0,
    )  # fmt: skip
    dealt = WiderFaceKind().read(settings, workers=1)
    assert sum(len(dealt.splits[name]) for name in ("train", "val")) == 2
    test = dealt.splits["test"]
    assert [dealt.groups[number] for number in test.box_group] == [
        "easy+medium+hard", "medium+hard", "hard",
    ]  # fmt: skip
    assert dealt.groups == LEVEL_GROUPS
    for name, split in {**dealt.splits, "val": test}.items():
        split.save(tmp_path / "prepared" / name)
    save_group_names(tmp_path / "prepared", dealt.groups)
    found = [[20, 20, 60, 60], [200, 200, 240, 240], [100, 100, 140, 140]]  # one of no face
    metrics = evaluation.evaluate(Boxes(found), tmp_path / "prepared").metrics
    assert {name: metrics[f"ap_{name}"] for name in WIDER_LEVELS} == pytest.approx(
        {"easy": 1, "medium": 0.5 + 0.5 * 2 / 3, "hard": 1 / 3 + 1 / 3 * 2 / 3}
    )
    assert "ap_10_50" not in metrics


def test_two_test_splits_are_refused() -> None:
    with pytest.raises(ValueError, match="set test_share to 0"):
        WiderSettings(reader="wider", source="x", annotations="list.txt", levels="truth")

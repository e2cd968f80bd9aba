"""A kind of dataset is one module: what is asked for in conf/data/ or lies at a path is found."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facemodels.data import kinds
from facemodels.data.datasets import dataset_of, kinds_of, recognised
from facemodels.data.splits import DetectionSplit
from facemodels.errors import DataError, ParamsError
from facemodels.names import LEARNED_TASKS
from facemodels.params import Data, DatasetParams
from facemodels.pipeline.prepare import prepare

SAMPLE = DatasetParams(reader="sample", source="")
# A whole reader: one CSV file with a line `image,x0,y0,x1,y1` for each face.
CSV_KIND = """
import csv
from collections import defaultdict

from facemodels.data.real.annotated_images import annotated, in_order, parse_box
from facemodels.data.real.detection import BoxKind


class CsvKind(BoxKind):
    reader = "csv"
    layout = "`images/*.png` + `boxes.csv`"

    def read_annotations(self, images, annotations):
        boxes = defaultdict(list)
        with annotations.open(newline="") as lines:
            for name, *numbers in csv.reader(lines):
                boxes[name].append(parse_box(numbers))
        return in_order([annotated(images / n, b) for n, b in boxes.items()], [], annotations)

    def recognise(self, path, shares):
        found = (path / "boxes.csv").is_file()
        return self.settings_for(path, "boxes.csv", shares) if found else None


KINDS = (CsvKind(),)
"""


@pytest.fixture
def csv_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package of the kinds with one module more."""
    folder = tmp_path / "more_kinds"
    folder.mkdir()
    (folder / "csv_boxes.py").write_text(CSV_KIND)
    monkeypatch.setattr(kinds, "__path__", [*kinds.__path__, str(folder)])
    yield
    sys.modules.pop("facemodels.data.kinds.csv_boxes", None)


@pytest.fixture
def boxes(tmp_path: Path) -> Path:
    root = tmp_path / "raw"
    (root / "images").mkdir(parents=True)
    for index in range(20):
        Image.new("L", (40, 30)).save(root / "images" / f"{index:02}.png")
    lines = [f"{index:02}.png,{index},5,{index + 10},15" for index in range(20)]
    (root / "boxes.csv").write_text("\n".join(lines))
    return root


def data(**detection: object) -> Data:
    others = dict.fromkeys(("recognition", "landmarks", "system"), SAMPLE)
    return Data(detection=DatasetParams(**detection), **others)


@pytest.mark.usefixtures("csv_kind")
def test_a_kind_added_in_one_module_prepares_what_params_name(boxes: Path, tmp_path: Path) -> None:
    named = data(
        reader="csv", source=str(boxes), annotations="boxes.csv", image_size=20, val_share=0.3
    )
    prepare(
        dataset_of(named, "detection"), tmp_path / "out", tmp_path / "r.json", tmp_path / "s.png"
    )
    splits = [DetectionSplit.load(tmp_path / "out" / name) for name in ("train", "val", "test")]
    assert sum(len(split) for split in splits) == 20
    assert all(len(split.boxes) == len(split) for split in splits)
    assert np.asarray(Image.open(tmp_path / "s.png")).shape[2] == 3
    assert '"faces"' in (tmp_path / "r.json").read_text()


@pytest.mark.usefixtures("csv_kind")
def test_a_kind_added_in_one_module_recognises_its_layout(boxes: Path) -> None:
    found = recognised(boxes, "detection")
    assert (found.kind.reader, found.settings.source) == ("csv", str(boxes))


def test_a_layout_of_no_kind_is_an_error_that_names_the_page(boxes: Path) -> None:
    with pytest.raises(DataError, match=r"docs/datasets\.md"):
        recognised(boxes, "detection")


def test_an_unknown_reader_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ParamsError, match=r"'csv', which is none of .*voc"):
        dataset_of(data(reader="csv", source=""), "detection")


def test_a_key_that_is_not_the_readers_is_named() -> None:
    with pytest.raises(ParamsError, match=r"data\.detection does not fit: .*surprise"):
        dataset_of(data(reader="voc", source="", annotations="a", surprise=1), "detection")


def test_a_readers_name_stands_for_one_kind_of_a_task_and_says_what_it_reads() -> None:
    for task in LEARNED_TASKS:
        known = kinds_of(task)
        assert max(Counter(kind.reader for kind in known).values()) == 1
        assert all(kind.layout and kind.task == task for kind in known)


@pytest.mark.parametrize(
    ("task", "files", "reader"),
    [
        ("detection", ["annotations/a.xml", "labels/a.txt"], "voc"),
        ("detection", ["labels/a.txt", "w_bbx_gt.txt"], "yolo"),
        ("detection", ["w_bbx_gt.txt"], "wider"),
        ("recognition", ["faces/P/P_0001.jpg", "pairs.txt"], "lfw"),
        ("recognition", ["P/P_0001.jpg"], "folders"),
        ("landmarks", ["trainset/a.pts", "testset/b.pts"], "pts"),
        ("landmarks", ["deep/a.pts"], "pts"),
    ],
)
def test_of_two_layouts_that_fit_the_more_special_one_is_taken(
    tmp_path: Path, task: str, files: list[str], reader: str
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for testing in (False, True):
        assert recognised(tmp_path, task, testing=testing).kind.reader == reader


def test_an_xml_list_is_both_sets(tmp_path: Path) -> None:
    (tmp_path / "list.xml").touch()
    found = recognised(tmp_path / "list.xml", "landmarks")
    assert found.kind.reader == "dlib-xml"
    assert found.settings.model_dump()["train"] == ["list.xml"]
    assert found.settings.source == str(tmp_path)


def test_a_dataset_to_test_on_gets_folds_and_a_training_set_does_not(tmp_path: Path) -> None:
    for person in range(100):
        (tmp_path / f"P{person}").mkdir()
    trained, tested = (recognised(tmp_path, "recognition", testing=t).settings for t in (0, 1))
    assert trained.model_dump() | {"folds": 6, "val_share": 0.25, "test_share": 0.75} == (
        tested.model_dump()
    )
    assert trained.model_dump()["folds"] == 1

"""Datasets as people have them: what other systems leave behind, and formats as tools write them."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facemodels.data.dataset_kind import FOR_TRAINING
from facemodels.data.kinds.dlib_xml import DlibXmlKind
from facemodels.data.kinds.lfw import read_lfw_pairs, read_people
from facemodels.data.kinds.pts import PtsKind
from facemodels.data.kinds.voc import VocKind
from facemodels.data.kinds.wider import WiderFaceKind
from facemodels.data.kinds.yolo import YoloKind
from facemodels.data.problems import Problem, summary
from facemodels.data.real.annotated_images import CLIPPED, EMPTY, REPEATED
from facemodels.data.real.files import read_picture
from facemodels.data.real.identities import read_identities

WIDTH, HEIGHT = 40, 30
NFD = unicodedata.normalize("NFD", "Zoë")
NFC = unicodedata.normalize("NFC", "Zoë")


def picture(path: Path, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (WIDTH, HEIGHT), 90).save(path, **options)
    return path


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def leftovers(root: Path) -> None:
    """What macOS, Jupyter and Windows put beside the data."""
    for name in ("images/._a.jpg", "__MACOSX/images/._a.jpg", "images/.ipynb_checkpoints/a-1.jpg"):
        write(root / name, b"no picture")
    write(root / "labels/._a.txt", b"\0\5")


@pytest.mark.parametrize(
    ("line", "faces"),
    [
        ("0.0 .5 .5 .2 .2", 1),
        ("1e0 .5 .5 .2 .2", 1),
        ("0 .5 .5 .2 .2 17", 1),  # a track id
        ("0 .5 .5 .2 .2" + " .5 .5" * 5, 1),  # five points
        ("0 .5 .5 .2 .2" + " .5 .5 2" * 5, 1),  # and whether they are seen
        ("0" + " .1 .1 .9 .1 .9 .9" * 2 + " .1 .9", None),  # a polygon of as many numbers
        ("face .5 .5 .2 .2", None),
        ("0.5 .5 .5 .2 .2", None),
        ("0 50 50 20 20", None),  # percent
    ],
)
def test_yolo_lines_as_tools_write_them(tmp_path: Path, line: str, faces: int | None) -> None:
    picture(tmp_path / "images/train/a.JPG", format="JPEG")
    leftovers(tmp_path)
    write(tmp_path / "labels/train/a.txt", f"\ufeff{line}\n{line}\n")
    scenes, problems = YoloKind().read_annotations(tmp_path / "images", tmp_path / "labels")
    if faces is None:
        assert [p.path for p in problems] == ["labels/train/a.txt"]
        told = "not shares of the picture's sides" if "50" in line else "`class cx cy w h`"
        assert told in problems[0].reason
    else:
        assert problems == []
        assert [(len(s.boxes), s.mended) for s in scenes] == [(faces, (REPEATED,))]


def test_a_wider_scene_is_read_as_unpacked_with_a_cut_and_an_empty_box(tmp_path: Path) -> None:
    picture(tmp_path / "WIDER_val/images/0--Parade/a.png")
    listed = "0--Parade/a.jpg\n3\n1 2 3 4 0 0 0 0 0 0 extra\n5 5 0 0 0 0 0 0 0 0\n30 20 15 5 0 0 0 0 0 0\n"
    write(tmp_path / "wider_face_split/wider_face_val_bbx_gt.txt", "\ufeff" + listed)
    kind = WiderFaceKind()
    found = kind.recognise(tmp_path, FOR_TRAINING)
    assert found is not None
    scenes, problems = kind.read_annotations(tmp_path / found.images, tmp_path / found.annotations)
    assert problems == []
    assert scenes[0].boxes.tolist() == [[1, 2, 4, 6], [30, 20, 40, 25]]
    assert sorted(scenes[0].mended) == sorted((CLIPPED, EMPTY))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_voc_boxes_of_stored_pixels_are_turned_with_them(tmp_path: Path, orientation: int) -> None:
    stored = np.zeros((HEIGHT * 8, WIDTH * 8), np.uint8)
    stored[16:48, 80:160] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "images").mkdir()
    Image.fromarray(stored).save(tmp_path / "images/a.png", exif=exif)
    box = (80, 16, 160, 48)
    size = stored.shape[::-1]
    xml = (
        "<annotation><size><width>{}</width><height>{}</height></size><object><bndbox><xmin>{}"
        "</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object></annotation>"
    )
    write(tmp_path / "labels/a.xml", xml.format(*size, *box))
    write(tmp_path / "images/b.heic", b"x")
    kind = VocKind()
    scenes, problems = kind.read_annotations(tmp_path / "images", tmp_path / "labels")
    assert [".heic pictures are not read" in p.reason for p in problems] == [True]
    if orientation in (1, 5, 6, 7, 8):  # the others keep the size, so that no file tells them
        x0, y0, x1, y1 = scenes[0].boxes[0].astype(int)
        upright = read_picture(scenes[0].path)[..., 0]
        assert (upright[y0:y1, x0:x1] == 255).all()
        assert (upright == 255).sum() == (y1 - y0) * (x1 - x0)
    write(tmp_path / "labels/a.xml", xml.format(200, 100, *box))
    reasons = [p.reason for p in kind.read_annotations(tmp_path / "images", tmp_path / "labels")[1]]
    assert any("its <size> is 200x100" in reason for reason in reasons)


@pytest.mark.parametrize("suffix", [".PGM", ".ppm", ".tiff", ".jfif"])
def test_pictures_of_older_sets_are_decoded(tmp_path: Path, suffix: str) -> None:
    options = {".PGM": "PPM", ".ppm": "PPM", ".tiff": "TIFF", ".jfif": "JPEG"}
    path = picture(tmp_path / f"Ann/a{suffix}", format=options[suffix])
    assert [i.path for i in read_identities(tmp_path)[0]] == [path]
    assert read_picture(path).shape == (HEIGHT, WIDTH, 3)


def test_people_in_nested_folders_of_any_name(tmp_path: Path) -> None:
    picture(tmp_path / "train" / NFC / "a.jpg")
    picture(tmp_path / "train" / NFD / "video 1" / "b.png")
    picture(tmp_path / "val" / NFC / "c.png")
    picture(tmp_path / "val" / "ann" / "d.png")
    picture(tmp_path / "val" / "Ann" / "e.png")
    picture(Path(os.fsdecode(os.fsencode(tmp_path / "val") + b"/J\xf6rg")) / "f.png")
    write(tmp_path / "__MACOSX" / "x" / "._a.jpg", b"x")
    images, problems = read_identities(tmp_path)
    assert [i.identity for i in images] == ["Ann", "J\\udcf6rg", NFC, NFC, NFC, "ann"]
    assert [p.reason for p in problems] == ["differs from Ann in case only: is it the same person?"]


@pytest.mark.parametrize("root", ["dataset", "images"])
def test_imglab_lists_of_windows_with_plain_part_names(tmp_path: Path, root: str) -> None:
    picture(tmp_path / "afw" / "1.PNG")
    parts = "".join(f"<part name='{i}' x='{i % 10}' y='{i // 10}'/>" for i in range(68))
    boxes = f"<box top='1' left='1' width='9' height='9'>{parts}</box>"
    listed = "".join(
        f"<image file='{name}'>{boxes}</image>" for name in (r"afw\1.jpg", r"C:\x\afw\1.jpg")
    )
    text = f"<images>{listed}</images>"
    text = f"<dataset>{text}</dataset>" if root == "dataset" else text
    path = write(tmp_path / "list.xml", b"\xef\xbb\xbf" + text.encode())
    faces, problems = DlibXmlKind().read_points(path)
    assert (len(faces), problems) == (2, [])


def test_lists_of_other_unicode_form_extension_and_byte_order_mark(tmp_path: Path) -> None:
    picture(tmp_path / NFD / f"{NFD}_0001.png")
    picture(tmp_path / NFD / f"{NFD}_0002.JPG", format="JPEG")
    pairs = write(tmp_path / "pairs.txt", f"\ufeff1\n{NFC} 1 2\n{NFC} 1 {NFC} 2\n")
    assert all(p.first.is_file() and p.second.is_file() for p in read_lfw_pairs(pairs, tmp_path))
    assert read_people(write(tmp_path / "people.txt", f"\ufeff1\n{NFD} 2\n")) == [NFC]
    rows = "".join(f"{i % 10} {i // 10}\n" for i in range(68))
    picture(tmp_path / "300w" / f"{NFD}.PNG")
    write(tmp_path / "300w" / f"{NFC}.pts", f"\ufeffversion: 1\nn_points: 68\n{{\n{rows}}}\n")
    faces, problems = PtsKind().read_points(tmp_path / "300w")
    assert (len(faces), problems) == (1, [])


def test_many_problems_are_summed_up_by_kind() -> None:
    many = [Problem(f"{i}.txt", f"line '{i} x' is not a box") for i in range(240)]
    lines = summary([*many, Problem("z.jpg", "no such file")])
    assert lines == [
        "240 times line … is not a box, such as 0.txt: line '0 x' is not a box",
        "z.jpg: no such file",
    ]

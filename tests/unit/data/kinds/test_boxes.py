from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.bounded import examples

from facemodels.data.kinds.voc import VocKind
from facemodels.data.kinds.wider import WiderFaceKind
from facemodels.data.kinds.yolo import YoloKind
from facemodels.data.real.annotated_images import CLIPPED
from facemodels.errors import DataError

read_voc = VocKind().read_annotations
read_wider = WiderFaceKind().read_annotations
read_yolo = YoloKind().read_annotations
MASKS = Path(__file__).resolve().parents[4].parent / "shared" / "data" / "facemask853"
needs_masks = pytest.mark.skipif(
    not MASKS.is_dir(), reason="facemask853 is not at ../shared/data/facemask853"
)
WIDTH, HEIGHT = 40, 30
FACE = (
    "<object><name>face</name><bndbox><xmin>{}</xmin><ymin>{}</ymin>"
    "<xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
)
BOXES = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 15), st.integers(1, 20), st.integers(1, 15)).map(
        lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
    ),
    max_size=5,
    unique=True,
)


@pytest.fixture(autouse=True, scope="module")
def _temporary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hypothesis' examples make their folders below pytest's, which cleans up."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("examples")))
        yield


def dataset(*names: str) -> Path:
    root = Path(tempfile.mkdtemp())
    (root / "images").mkdir()
    (root / "labels").mkdir()
    for name in names:
        Image.new("L", (WIDTH, HEIGHT)).save(root / "images" / name)
    return root


def voc(*boxes: tuple[object, ...]) -> str:
    return f"<annotation>{''.join(FACE.format(*box) for box in boxes)}</annotation>"


def read_one_voc(content: str | bytes) -> tuple[list[list[float]] | None, list[str]]:
    root = dataset("a.png")
    data = content.encode() if isinstance(content, str) else content
    (root / "labels" / "a.xml").write_bytes(data)
    scenes, problems = read_voc(root / "images", root / "labels")
    assert len(scenes) + len(problems) == 1
    return (scenes[0].boxes.tolist() if scenes else None), [p.reason for p in problems]


@settings(max_examples=40, deadline=None)
@given(BOXES)
def test_written_boxes_are_read_back_from_every_format(boxes: list[tuple[int, ...]]) -> None:
    root = dataset("a.png")
    images, labels = root / "images", root / "labels"
    (labels / "a.xml").write_text(voc(*boxes))
    shares = [
        ((a + c) / 2 / WIDTH, (b + d) / 2 / HEIGHT, (c - a) / WIDTH, (d - b) / HEIGHT)
        for a, b, c, d in boxes
    ]
    (labels / "a.txt").write_text("".join(f"0 {x!r} {y!r} {w!r} {h!r}\n" for x, y, w, h in shares))
    faces = [f"{a} {b} {c - a} {d - b} 0 0 0 0 0 0" for a, b, c, d in boxes]
    rows = faces or ["0 0 0 0 0 0 0 0 0 0"]
    (root / "wider.txt").write_text("\n".join(["a.png", str(len(boxes)), *rows]) + "\n")
    expected = np.array(boxes, np.float32).reshape(-1, 4)
    for scenes, problems in (
        read_voc(images, labels),
        read_yolo(images, labels),
        read_wider(images, root / "wider.txt"),
    ):
        assert problems == []
        assert scenes[0].boxes.dtype == np.float32
        np.testing.assert_allclose(scenes[0].boxes, expected, atol=1e-4)


def test_small_overruns_are_clipped() -> None:
    assert read_one_voc(voc((-1, -2, 41, 32)))[0] == [[0, 0, 40, 30]]


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((9, 5, 5, 9), "no area"),
        (("nan", 5, 9, 9), "not finite"),
        (("inf", 5, 9, 9), "not finite"),
        ((5, 5, 90, 9), "outside of 40x30"),
        ((40.5, 5, 41.5, 9), "no area"),
        (("x", 5, 9, 9), "four numbers"),
    ],
)
def test_an_unusable_box_leaves_its_scene_out(box: tuple[object, ...], reason: str) -> None:
    boxes, reasons = read_one_voc(voc((1, 1, 9, 9), box))
    assert boxes is None
    assert reason in reasons[0]


def test_entity_expansion_is_not_followed() -> None:
    bomb = '<!DOCTYPE a [<!ENTITY b "bbbb">]><annotation>&b;</annotation>'
    assert "not readable as XML (EntitiesForbidden)" in read_one_voc(bomb)[1][0]


@settings(max_examples=examples(150), deadline=None)
@given(st.one_of(st.binary(max_size=60), st.text("<annotion>/&;x ", max_size=60).map(str.encode)))
def test_arbitrary_xml_is_a_problem(content: bytes) -> None:
    read_one_voc(content)


@settings(max_examples=examples(150), deadline=None)
@given(st.one_of(st.binary(max_size=60), st.text("01.5e9- \nan", max_size=60).map(str.encode)))
def test_arbitrary_labels_are_read_or_listed(content: bytes) -> None:
    root = dataset("a.png")
    (root / "labels" / "a.txt").write_bytes(content)
    scenes, problems = read_yolo(root / "images", root / "labels")
    assert len(scenes) + len(problems) == 1


@settings(max_examples=examples(150), deadline=None)
@given(st.one_of(st.binary(max_size=80), st.text("0123 \n.x", max_size=60).map(str.encode)))
def test_a_broken_wider_entry_does_not_hide_the_next(content: bytes) -> None:
    root = dataset("a.png")
    good = b"\na.png\n1\n1 2 3 4 0 0 0 0 0 0\n"
    (root / "wider.txt").write_bytes(b"a.png\n" + content + good)
    scenes, problems = read_wider(root / "images", root / "wider.txt")
    assert [1, 2, 4, 6] in [box for scene in scenes for box in scene.boxes.tolist()]
    assert len(scenes) + len(problems) >= 2


def test_invalid_wider_faces_are_dropped_and_names_stay_inside() -> None:
    root = dataset("a.png")
    (root / "wider.txt").write_text(
        "a.png\n2\n1 2 3 4 0 0 0 0 0 0\n5 6 7 8 0 0 0 1 0 0\n"
        "../a.png\n0\n0 0 0 0 0 0 0 0 0 0\n"
        "gone.png\n1\n1 2 3 4 0 0 0 0 0 0\n"
        "a.png\n2\n1 2 3 4 0 0 0 0 0 0\n"
    )
    scenes, problems = read_wider(root / "images", root / "wider.txt")
    assert [scene.boxes.tolist() for scene in scenes] == [[[1, 2, 4, 6]]]
    assert [p.path for p in problems] == ["wider.txt"] * 3
    reasons = " ".join(p.reason for p in problems)
    assert "line 5: picture '../a.png' lies outside" in reasons
    assert "no such file" in reasons
    assert "promises 2 faces, 1 lines follow" in reasons


def test_files_without_partner_are_listed_or_are_background() -> None:
    root = dataset("a.png", "b.png")
    for name in ("a.xml", "c.xml"):
        (root / "labels" / name).write_text(voc((1, 1, 9, 9)))
    for name in ("a.txt", "c.txt"):
        (root / "labels" / name).write_text("0 0.5 0.5 0.5 0.5\n")
    scenes, problems = read_voc(root / "images", root / "labels")
    assert [s.path.name for s in scenes] == ["a.png"]
    assert [p.path for p in problems] == ["images/b.png", "labels/c.xml"]
    scenes, problems = read_yolo(root / "images", root / "labels")
    assert [(s.path.name, len(s.boxes)) for s in scenes] == [("a.png", 1), ("b.png", 0)]
    assert [p.path for p in problems] == ["labels/c.txt"]


def test_a_broken_picture_is_listed() -> None:
    root = dataset()
    (root / "images" / "a.jpg").write_bytes(b"no picture")
    (root / "labels" / "a.xml").write_text(voc((1, 1, 9, 9)))
    for read in (read_voc, read_yolo):
        scenes, problems = read(root / "images", root / "labels")
        assert scenes == []
        assert "not a readable" in problems[0].reason


def test_a_root_that_is_no_dataset_is_refused(tmp_path: Path) -> None:
    for read in (read_voc, read_yolo):
        with pytest.raises(DataError):
            read(tmp_path / "absent", tmp_path)
        with pytest.raises(DataError):
            read(tmp_path, tmp_path)
    with pytest.raises(DataError):
        read_wider(tmp_path, tmp_path / "absent.txt")
    (tmp_path / "empty.txt").touch()  # no entry at all
    with pytest.raises(DataError):
        read_wider(tmp_path, tmp_path / "empty.txt")


@needs_masks
def test_facemask853_holds_its_published_numbers() -> None:
    scenes, problems = read_voc(MASKS / "images", MASKS / "annotations")
    assert (len(scenes), problems) == (853, [])
    assert sum(len(scene.boxes) for scene in scenes) == 4072
    longer = np.concatenate([(s.boxes[:, 2:] - s.boxes[:, :2]).max(axis=1) for s in scenes])
    assert np.median(longer) == 25


@needs_masks
def test_facemask853_boxes_that_overrun_by_a_pixel_are_clipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("facemodels.data.real.annotated_images.OVERRUN", 0.0)
    scenes, problems = read_voc(MASKS / "images", MASKS / "annotations")
    assert problems == []
    assert 0 < sum(scene.mended.count(CLIPPED) for scene in scenes) <= 12

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from tests.bounded import examples

from facemodels.data.kinds.dlib_xml import DlibXmlKind
from facemodels.data.kinds.pts import PtsKind
from facemodels.data.real.landmarks import PointSettings
from facemodels.errors import DataError

read_dlib_xml = DlibXmlKind().read_points
read_pts = PtsKind().read_points
ROOT_300W = Path(__file__).resolve().parents[4].parent / "shared" / "data" / "300w"
needs_300w = pytest.mark.skipif(not ROOT_300W.is_dir(), reason="300-W is not at ../shared/data")
POINTS = arrays(np.int32, (68, 2), elements=st.integers(0, 500)).filter(
    lambda points: bool((np.ptp(points, axis=0) > 0).all())
)
SOME = np.stack([np.arange(68), np.arange(68)[::-1]], axis=1)


@pytest.fixture(autouse=True, scope="module")
def _temporary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hypothesis' examples make their folders below pytest's, which cleans up."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("examples")))
        yield


def pts(points: np.ndarray) -> str:
    rows = "\n".join(f"{x:.3f} {y:.3f}" for x, y in points)
    return f"version: 1\nn_points: {len(points)}\n{{\n{rows}\n}}\n"


def part(index: int, x: object, y: object) -> str:
    return f"<part name='{index:02d}' x='{x}' y='{y}'/>"


def box(points: np.ndarray, attributes: str = "top='2' left='1' width='30' height='40'") -> str:
    return f"<box {attributes}>{''.join(part(i, x, y) for i, (x, y) in enumerate(points))}</box>"


def xml(*boxes: str, file: str = "a.png") -> str:
    image = f"<image file='{file}'>{''.join(boxes)}</image>"
    return f"<?xml version='1.0'?><dataset><images>{image}</images></dataset>"


def folder(**files: str | bytes) -> Path:
    root = Path(tempfile.mkdtemp())
    Image.new("L", (8, 8)).save(root / "a.png")
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        (root / name.replace("_", ".")).write_bytes(data)
    return root


@settings(max_examples=30, deadline=None)
@given(POINTS)
def test_written_points_are_read_back(points: np.ndarray) -> None:
    root = folder(a_pts=pts(points + 1), a_xml=xml(box(points)))
    (from_pts,), none = read_pts(root)
    (from_xml,), nothing = read_dlib_xml(root / "a.xml")
    assert none == nothing == []
    for sample in (from_pts, from_xml):
        assert sample.path == root / "a.png"
        assert sample.points.dtype == np.float32
        np.testing.assert_array_equal(sample.points, points)
    assert from_pts.box is None
    assert from_xml.box is not None
    assert from_xml.box.tolist() == [1, 2, 31, 42]


@pytest.mark.parametrize(("boxes", "top"), [("points", 0.24), ("annotated", 0.5)])
def test_boxes_of_any_detector_count_where_they_are_said_to_fit(boxes: str, top: float) -> None:
    points = SOME * [0.04, 0.04] + 3
    inner = f"top='{points.min() - 0.5 * 2.68 + 0.5}' left='3' width='3' height='4'"
    root = folder(a_xml=xml(box(points, inner)))
    asked = {"reader": "dlib-xml", "source": str(root), "train": "a.xml", "test": ["a.xml"],
             "seed": 1, "val_share": 0.0, "boxes": boxes}  # fmt: skip
    read = DlibXmlKind().read(PointSettings.model_validate(asked), workers=1).splits["test"]
    high = np.ptp(read.points[0, :, 1])
    assert (read.points[0, :, 1].min() + 0.5 - read.boxes[0, 1]) / high == pytest.approx(
        top, abs=1e-3
    )


def test_several_sets_train_together_and_a_single_one_needs_no_list() -> None:
    root = folder(a_xml=xml(box(SOME + 3)), b_xml=xml(box(SOME + 4)))
    asked = {"reader": "dlib-xml", "source": str(root), "test": ["a.xml"], "val_share": 0.0}
    for train, count in (("a.xml", 1), (["a.xml", "b.xml"], 2)):
        chosen = PointSettings.model_validate({**asked, "train": train})
        assert len(DlibXmlKind().read(chosen, workers=1).splits["train"]) == count


@settings(max_examples=examples(150), deadline=None)
@given(st.one_of(st.binary(max_size=60), st.text("version: 1n_pts68{}\n.", max_size=60)))
def test_an_arbitrary_pts_file_is_a_problem(content: str | bytes) -> None:
    samples, problems = read_pts(folder(a_pts=content))
    assert samples == []
    assert [p.path for p in problems] == ["a.pts"]


@settings(max_examples=examples(150), deadline=None)
@given(st.one_of(st.binary(max_size=80), st.text("<dataset>/image ='", max_size=80)))
def test_an_arbitrary_xml_is_refused(content: str | bytes) -> None:
    with pytest.raises(DataError, match=r"a\.xml"):
        read_dlib_xml(folder(a_xml=content) / "a.xml")


@pytest.mark.parametrize(
    "text",
    [
        pts(SOME[:67]),
        pts(SOME).replace("n_points: 68", "n_points: 69"),
        pts(SOME).replace("version: 1", "version: 2"),
        pts(SOME).replace("}", ""),
        pts(SOME).replace("5.000", "nan", 1),
        pts(SOME).replace("5.000", "1e300", 1),
        pts(SOME).replace("5.000", "five", 1),
        pts(SOME * [1, 0]),
    ],
)
def test_one_broken_pts_file_does_not_hide_the_others(text: str) -> None:
    root = folder(a_pts=pts(SOME), b_pts=text)
    Image.new("L", (8, 8)).save(root / "b.jpg")
    samples, problems = read_pts(root)
    assert [s.path.name for s in samples] == ["a.png"]
    assert [p.path for p in problems] == ["b.pts"]


def test_a_pts_file_without_picture_is_listed() -> None:
    assert "no picture" in read_pts(folder(b_pts=pts(SOME)))[1][0].reason


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (box(SOME[:67]), "not 00 to 67"),
        (box(SOME).replace("name='05'", "name='06'"), "not 00 to 67"),
        (box(SOME).replace("x='5'", "x='five'"), "not a number"),
        (box(SOME).replace("x='5'", "x='nan'"), "not finite"),
        (box(SOME, "top='2' left='1' width='0' height='4'"), "box has no area"),
        (box(SOME, ""), "not a number"),
    ],
)
def test_one_broken_dlib_box_does_not_hide_the_others(broken: str, reason: str) -> None:
    root = folder(a_xml=xml(box(SOME), broken, box(SOME, "ignore='1'")))
    samples, problems = read_dlib_xml(root / "a.xml")
    assert len(samples) == 1
    assert len(problems) == 1
    assert reason in problems[0].reason


@pytest.mark.parametrize("name", ["", "gone.png", "../a.png", "/a.png", "x" * 5000])
def test_a_dlib_picture_must_exist_within_the_dataset(name: str) -> None:
    samples, problems = read_dlib_xml(folder(a_xml=xml(box(SOME), file=name)) / "a.xml")
    assert samples == []
    assert "picture" in problems[0].reason


def test_a_root_that_is_no_dataset_is_refused(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "absent"):
        with pytest.raises(DataError):
            read_pts(root)
    with pytest.raises(DataError):
        read_dlib_xml(tmp_path / "absent.xml")


@needs_300w
@pytest.mark.parametrize(
    ("name", "count"), [("helen/trainset", 870), ("helen/testset", 330), ("afw", 337)]
)
def test_300w_holds_its_published_numbers_and_points_lie_on_the_pictures(
    name: str, count: int
) -> None:
    samples, problems = read_pts(ROOT_300W / name)
    assert (len(samples), problems) == (count, [])
    for sample in samples:
        with Image.open(sample.path) as image:
            size = np.array(image.size)
        # Edges frame; the last pixel of the 1-based original may shrink to below 1.
        edges = sample.points + 0.5
        assert edges.min() > -0.5
        assert (edges <= size).all()

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facemodels.errors import DataError
from facemodels.monitoring.probes import golden_set, load

POINTS = [[float(n % 10 + 10), float(n // 10 + 10)] for n in range(68)]


def picture(side: int = 40, form: str = "PNG") -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form)
    return stream.getvalue()


def valid(task: str) -> dict[str, Any]:
    probes = {
        "recognition": [
            {"images": ["a.png", "b.png"], "same": True},
            {"images": ["a.png", "sub/c.jpg"], "same": False},
        ],
        "detection": [{"image": "a.png", "boxes": [[1, 2, 20, 30.5]]}, {"image": "b.png", "boxes": []}],
        "landmarks": [{"image": "a.png", "box": [1, 1, 39, 39], "points": POINTS}],
    }  # fmt: skip
    return {"format": 1, "task": task, "source": "mine", "probes": probes[task]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "set"
    (made / "sub").mkdir(parents=True)
    for name in ("a.png", "b.png"):
        (made / name).write_bytes(picture())
    (made / "sub/c.jpg").write_bytes(picture(form="JPEG"))
    return made


def write(folder: Path, value: Any) -> None:
    text = value if isinstance(value, str) else json.dumps(value)
    (folder / golden_set.FILE).write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("task", "count", "images"), [("recognition", 2, 3), ("detection", 2, 2), ("landmarks", 1, 1)]
)
def test_a_set_of_ones_own_is_read(folder: Path, task: str, count: int, images: int) -> None:
    write(folder, valid(task))
    probes = load(folder)
    assert (probes.task, len(probes), len(probes.images)) == (task, count, images)
    assert probes.source == "mine"
    assert probes.images["a.png"] == (folder / "a.png").read_bytes()


def test_the_digest_is_of_labels_and_images(folder: Path) -> None:
    write(folder, valid("detection"))
    before = load(folder).digest
    assert load(folder).digest == before
    (folder / "b.png").write_bytes(picture(39))
    images_changed = load(folder).digest
    changed = valid("detection")
    changed["probes"][0]["boxes"] = []
    changed["probes"][1]["boxes"] = [[1, 2, 20, 30.5]]
    write(folder, changed)
    assert len({before, images_changed, load(folder).digest}) == 3


def without(key: str) -> Callable[[dict[str, Any]], Any]:
    return lambda value: {k: v for k, v in value.items() if k != key}


def probe(**more: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda value: {**value, "probes": [{**value["probes"][0], **more}, *value["probes"][1:]]}


@pytest.mark.parametrize(
    ("task", "change", "words"),
    [
        ("recognition", without("task"), "task"),
        ("recognition", without("format"), "format"),
        ("recognition", lambda v: {**v, "format": 2}, "format"),
        ("recognition", lambda v: {**v, "task": "emotion"}, "emotion"),
        ("recognition", lambda v: {**v, "more": 1}, "more"),
        ("recognition", lambda v: {**v, "probes": []}, "probes"),
        ("recognition", lambda v: [v], "dictionary"),
        ("recognition", lambda v: {**v, "probes": v["probes"][:1]}, "both kinds"),
        ("recognition", probe(same="yes"), r"probes\.0\.same"),
        ("recognition", probe(same=1), r"probes\.0\.same"),
        ("recognition", probe(images=["a.png"]), r"probes\.0\.images"),
        ("recognition", probe(images=["a.png", "../b.png"]), "below the folder"),
        ("recognition", probe(images=["a.png", "/etc/b.png"]), "below the folder"),
        ("recognition", probe(images=["a.png", "sub\\b.png"]), "below the folder"),
        ("recognition", probe(images=["a.png", "./b.png"]), "below the folder"),
        ("recognition", probe(images=["a.png", "b.svg"]), "ends in none of"),
        ("recognition", probe(images=["a.png", "none.png"]), "none.png: No such file"),
        ("recognition", probe(images=["a.png", "x\x00.png"]), "below the folder"),
        ("detection", probe(boxes=[[1, 2, 1, 9]]), "with an area"),
        ("detection", probe(boxes=[[1, 2, 3]]), r"probes\.0\.boxes"),
        ("detection", probe(boxes=[[1, 2, 3, "4"]]), r"probes\.0\.boxes"),
        ("detection", probe(boxes=[[70, 70, 90, 90]]), "outside of its image"),
        ("detection", probe(boxes=[]), "no scene has a face"),
        ("landmarks", probe(points=POINTS[:67]), r"probes\.0\.points"),
        ("landmarks", probe(points=[[1.0, 1.0]] * 68), "eye corners"),
        ("landmarks", probe(points=[[x + 100, y] for x, y in POINTS]), "outside of its image"),
        ("landmarks", probe(box=[90, 90, 99, 99]), "outside of its image"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_with_its_place(
    folder: Path, task: str, change: Callable[[dict[str, Any]], Any], words: str
) -> None:
    write(folder, change(valid(task)))
    with pytest.raises(DataError, match=words) as told:
        load(folder)
    assert str(folder) in str(told.value)


@pytest.mark.parametrize(
    "text", ["", "{", "null", "[" * 100_000, '{"probes": NaN}', '{"format": 1e999}', "\ud800"]
)
def test_a_file_that_is_no_set_is_refused(folder: Path, text: str) -> None:
    (folder / golden_set.FILE).write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(DataError):
        load(folder)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e308])
def test_numbers_that_are_none_are_refused(folder: Path, bad: float) -> None:
    value = valid("landmarks")
    value["probes"][0]["points"][0] = [bad, 1.0]
    write(folder, value)
    with pytest.raises(DataError):
        load(folder)


def test_a_missing_set_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="facemodels probes make"):
        load(tmp_path)


def test_an_image_may_not_lie_elsewhere(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(picture())
    (folder / "b.png").unlink()
    (folder / "b.png").symlink_to(tmp_path / "secret.png")
    write(folder, valid("recognition"))
    with pytest.raises(DataError, match="outside of the set's folder"):
        load(folder)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no bytes"),
        (b"GIF89a" + bytes(100), "not a readable"),
        (picture()[:300], "broken or truncated"),
        (bytes(golden_set.MAX_IMAGE_BYTES + 1), "bytes"),
    ],
)
def test_an_image_that_cannot_be_used_is_named(folder: Path, data: bytes, words: str) -> None:
    (folder / "b.png").write_bytes(data)
    write(folder, valid("detection"))
    with pytest.raises(DataError, match=words) as told:
        load(folder)
    assert "b.png" in str(told.value)


def test_a_picture_of_too_many_pixels_is_refused_by_its_header(folder: Path) -> None:
    stream = io.BytesIO()
    Image.new("1", (6000, 6000)).save(stream, "PNG")
    (folder / "b.png").write_bytes(stream.getvalue())
    write(folder, valid("detection"))
    with pytest.raises(DataError, match="more than 25000000 pixels"):
        load(folder)


def test_all_images_together_have_a_limit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, valid("recognition"))
    monkeypatch.setattr(golden_set, "MAX_TOTAL_BYTES", len(picture()) + 1)
    with pytest.raises(DataError, match="choose fewer"):
        load(folder)

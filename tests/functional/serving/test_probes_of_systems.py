"""Probes of a system: pairs of photos, in which it may find no face."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from facemodels.data.sample.generate import photo_split
from facemodels.errors import DataError
from facemodels.monitoring.probes import OutcomeCounts, load, make, replay

from .conftest import Server, encoded

SYSTEM = "sys-faces-v1.0.0"


def test_photos_are_verified_and_a_photo_without_a_face_matches_nobody(
    system_server: Server, photos: dict[int, np.ndarray], tmp_path: Path
) -> None:
    for name, number in (("nobody", 0), ("ada", 1), ("many", 2)):
        (tmp_path / f"{name}.png").write_bytes(encoded(photos[number]))
    pairs = [
        ("ada", "ada", True), ("ada", "nobody", True), ("ada", "nobody", False),
        ("many", "many", False),
    ]  # fmt: skip
    probes = [{"images": [f"{a}.png", f"{b}.png"], "same": same} for a, b, same in pairs]
    labels = {"format": 1, "task": "system", "probes": probes}
    (tmp_path / "probes.json").write_text(json.dumps(labels))
    result = replay(system_server.url, load(tmp_path), SYSTEM)
    assert result.complete, result.as_json()
    assert result.counts == OutcomeCounts(tp=1, fp=1, fn=1, tn=1)
    assert result.correct == (True, False, True, False)
    assert (result.accuracy, result.counts.fpr, result.threshold) == (0.5, 0.5, 0.7)


def test_another_version_is_no_answer(
    system_server: Server, photos: dict[int, np.ndarray], tmp_path: Path
) -> None:
    (tmp_path / "ada.png").write_bytes(encoded(photos[1]))
    probes = [{"images": ["ada.png", "ada.png"], "same": same} for same in (True, False)]
    labels = {"format": 1, "task": "system", "probes": probes}
    (tmp_path / "probes.json").write_text(json.dumps(labels))
    result = replay(system_server.url, load(tmp_path), "sys-faces-v9.0.0")
    assert result.failures == {"another version answered": 2}


def test_a_set_is_made_of_prepared_photos(tmp_path: Path) -> None:
    split = photo_split("test", seed=1, people=5, photos=12, image_size=96, workers=1)
    split.save(tmp_path / "data/prepared/system/test")
    made = make(tmp_path, "system", tmp_path / "probes", count=6)
    again = make(tmp_path, "system", tmp_path / "again", count=6)
    assert (made.task, len(made), made.digest) == ("system", 6, again.digest)
    assert [probe.same for probe in made.probes] == [True] * 3 + [False] * 3  # type: ignore[union-attr]
    with pytest.raises(DataError, match="of the 500 that are wanted"):
        make(tmp_path, "system", tmp_path / "more", count=1000)

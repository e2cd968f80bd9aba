from __future__ import annotations

import json
from pathlib import Path

import pytest

from facemodels.data.problems import Problem, check_share, write_report
from facemodels.errors import DataError

PROBLEMS = [Problem(f"{name}.jpg", "broken") for name in "gcafbed"]


def test_report_is_sorted_and_holds_no_absolute_path(tmp_path: Path) -> None:
    root = tmp_path / "set"
    problems = [Problem.at(root / "b" / "x.jpg", root, "bad"), Problem("a.jpg", "worse")]
    write_report(problems, tmp_path / "one.json")
    write_report(problems[::-1], tmp_path / "two.json")
    text = (tmp_path / "one.json").read_text()
    assert text == (tmp_path / "two.json").read_text()
    assert [entry["path"] for entry in json.loads(text)] == ["a.jpg", "b/x.jpg"]
    assert str(tmp_path) not in text


def test_names_that_are_not_utf8_can_be_reported(tmp_path: Path) -> None:
    write_report([Problem.at(tmp_path / "x\udcff.jpg", tmp_path, "bad")], tmp_path / "r.json")
    assert "udcff" in (tmp_path / "r.json").read_text()


def test_share_within_the_limit_passes() -> None:
    check_share(PROBLEMS, 100, 0.07, "faces")
    check_share([], 1, 0.0, "faces")


def test_share_over_the_limit_lists_the_first_few() -> None:
    with pytest.raises(DataError, match=r"faces: 7 of 100 .*a\.jpg.*e\.jpg.*and 2 more"):
        check_share(PROBLEMS, 100, 0.069, "faces")


def test_nothing_read_is_an_error() -> None:
    with pytest.raises(DataError, match="nothing"):
        check_share([], 0, 1.0, "faces")

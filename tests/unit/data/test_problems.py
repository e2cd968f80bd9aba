from __future__ import annotations

from pathlib import Path

import pytest

from facemodels.data.problems import Problem, check_share
from facemodels.errors import DataError

PROBLEMS = [Problem(f"{name}.jpg", "broken") for name in "gcafbed"]


def test_a_problem_names_its_file_within_the_dataset(tmp_path: Path) -> None:
    root = tmp_path / "set"
    assert Problem.at(root / "b" / "x.jpg", root, "bad") == Problem("b/x.jpg", "bad")


def test_names_that_are_not_utf8_are_escaped(tmp_path: Path) -> None:
    problem = Problem.at(tmp_path / "x\udcff.jpg", tmp_path, "bad")
    assert "udcff" in problem.path
    assert problem.path.encode("utf-8")


def test_share_within_the_limit_passes() -> None:
    check_share(PROBLEMS, 100, 0.07, "faces")
    check_share([], 1, 0.0, "faces")


def test_share_over_the_limit_lists_the_first_few() -> None:
    with pytest.raises(DataError, match=r"faces: 7 of 100 .*7 times broken, such as a\.jpg"):
        check_share(PROBLEMS, 100, 0.069, "faces")


def test_nothing_read_is_an_error() -> None:
    with pytest.raises(DataError, match="nothing"):
        check_share([], 0, 1.0, "faces")

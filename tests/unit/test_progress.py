from __future__ import annotations

import pytest

from facemodels.progress import progress


def test_a_log_gets_few_lines_and_the_last_one(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("work", 1000) as advance:
        for _ in range(1000):
            advance(1)
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 5
    assert lines[-1] == "work: 1000/1000"


def test_work_of_unknown_length_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("read", None) as advance:
        for _ in range(3):
            advance(4000)
    assert capsys.readouterr().err.splitlines() == ["read: 8000", "read: 12000"]

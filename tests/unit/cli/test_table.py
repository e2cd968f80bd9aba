from __future__ import annotations

import io
import sys

import pytest

from facemodels.cli.table import print_table


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_narrow_terminal_the_name_of_a_row_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(sys, "stdout", _Terminal())
    names = [f"recognition-a-long-architecture-v1.0.{number}" for number in range(3)]
    print_table(("model_id", "changelog"), [(name, "words " * 30) for name in names])
    told = sys.stdout.getvalue()  # type: ignore[attr-defined]
    assert [name for name in names if name not in told] == []

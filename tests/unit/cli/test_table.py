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


@pytest.mark.parametrize(("width", "left_out"), [(80, []), (40, ["tag"]), (30, ["tag", "actor"])])
def test_a_narrow_terminal_leaves_columns_out_and_breaks_no_word(
    monkeypatch: pytest.MonkeyPatch, width: int, left_out: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys, "stdout", _Terminal())
    row = ("rec-facenet-v1.0.0", "Ann <ann@x>", "words " * 9, "facenet#staging#1")
    print_table(("model_id", "actor", "reason", "tag"), [row], spare=("tag", "actor"))
    told = sys.stdout.getvalue()  # type: ignore[attr-defined]
    assert [name for name in ("tag", "actor", "reason") if name not in told] == left_out
    assert ("facenet#staging#1" in told) == ("tag" not in left_out)

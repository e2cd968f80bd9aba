"""`facemodels down` ends no production that nobody named."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from facemodels.cli import environment
from facemodels.cli.environment import down


class Nowhere:
    """An environment that does not run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder


def test_production_is_ended_by_its_name_or_after_a_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "open_in_emergency", lambda *_: Nowhere(tmp_path))
    runner = CliRunner()
    asked = runner.invoke(down, [], input="n\n")
    assert asked.exit_code == 1
    assert "End production with everything that serves there?" in asked.output
    assert runner.invoke(down, [], input="y\n").exit_code == 0
    for words in (["--environment", "production"], ["--keep-serving"], ["--dry-run"]):
        assert runner.invoke(down, words).exit_code == 0

"""How a command ends that could not finish: what it says, and its exit code."""

from __future__ import annotations

import errno

import pytest
from click.testing import CliRunner

from facemodels.cli.main import main
from facemodels.cli.train import _saying_how_to_go_on


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(number, "No space left on device", "/data/x.npy")

    monkeypatch.setattr("facemodels.params.load", full)
    done = CliRunner().invoke(main, ["prepare", "landmarks", "--output", "x"])
    assert done.exit_code == 1
    assert "the disk that holds /data/x.npy has no room left" in done.output
    assert "Traceback" not in done.output


def test_an_interrupted_training_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, _saying_how_to_go_on():
        raise KeyboardInterrupt
    assert ended.value.code == 130
    assert "The same command goes on from the last checkpoint" in capsys.readouterr().err

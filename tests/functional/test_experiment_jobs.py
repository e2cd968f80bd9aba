"""`facemodels exp`: real jobs of submitit's local executor, in a repository of one stage."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from facemodels.cli.exp import exp
from facemodels.errors import InputError

BIN = Path(sys.executable).parent
STAGE = """
import sys, time, yaml
x = yaml.safe_load(open("params.yaml"))["x"]
if x == 3:
    sys.exit("three is not wanted")
if x == 4:
    print("asleep", flush=True)
    time.sleep(600)
open("out.txt", "w").write(f"{2 * x}")
"""
PIPELINE = {"cmd": "python stage.py", "deps": ["stage.py"], "params": ["x"], "outs": ["out.txt"]}


def shell(repository: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for command in (["git", "init", "-q"], [str(BIN / "dvc"), "init", "-q"]):
        shell(tmp_path, *command)
    (tmp_path / "stage.py").write_text(STAGE)
    (tmp_path / "params.yaml").write_text("x: 1\n")
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"double": PIPELINE}}))
    (tmp_path / ".gitignore").write_text("/.cache/\n/out.txt\n")
    shell(tmp_path, "git", "add", "-A")
    shell(tmp_path, "git", "commit", "-qm", "Start")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments: str) -> dict:
    done = CliRunner().invoke(exp, [*arguments, "--json"], catch_exceptions=False)
    return json.loads(done.stdout)


def until(wanted: Callable[[], bool]) -> None:
    end = time.monotonic() + 240
    while not wanted():
        assert time.monotonic() < end
        time.sleep(0.2)


def state(name: str) -> str:
    return next(row["state"] for row in call("list") if row["name"] == name)


def logs(name: str) -> str:
    return CliRunner().invoke(exp, ["logs", name]).output


@pytest.mark.timeout(600)
def test_jobs_end_in_dvc_exp_show_or_with_their_log_or_by_cancel(repository: Path) -> None:
    for name, x, *flags in (("good", 2), ("bad", 3), ("long", 4), ("kept", 3, "--ignore-errors")):
        assert call("submit", "-S", f"x={x}", "--name", name, *flags)["cluster"] == "local"
    until(lambda: "asleep" in logs("long"))
    assert state("long") == call("cancel", "long", "--dry-run")["state"] == "running"
    assert call("cancel", "long")["state"] == state("long") == "cancelled"
    until(lambda: "running" not in {state("good"), state("bad"), state("kept")})
    assert (state("good"), state("bad"), state("kept")) == ("done", "failed", "done"), logs("good")
    assert "three is not wanted" in logs("bad")
    assert not list((repository / ".cache/experiments").glob("*/clone"))
    shown = shell(repository, str(BIN / "dvc"), "exp", "list", "--name-only", "--all")
    assert sorted(shown.split()) == ["good", "kept"]
    shell(repository, str(BIN / "dvc"), "exp", "apply", "good")
    assert (repository / "out.txt").read_text() == "4"
    assert "no job" in str(_error("logs", "other"))
    assert "has changes" in str(_error("submit", "-S", "x=5"))  # apply changed params.yaml


def _error(*arguments: str) -> BaseException | None:
    with pytest.raises(InputError) as raised:
        CliRunner().invoke(exp, arguments, catch_exceptions=False)
    return raised.value

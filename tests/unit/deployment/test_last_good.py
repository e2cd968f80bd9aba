"""A broken file of conf/ stops no emergency act: its last good content counts, and that is said."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from facemodels.cli.main import main
from facemodels.deployment.settings import load_or_last_good
from facemodels.errors import InputError, ParamsError

GOOD = "address: {port: 18080}\ncontrol: {port: 18081}\ndrain_s: 7\n"
Break = Callable[[Path], object]


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


BROKEN: dict[str, Break] = {
    "a typo": lambda path: path.write_text(GOOD + "drain: [\n"),
    "an unknown key": lambda path: path.write_text(GOOD + "drian_s: 5\n"),
    "a wrong type": lambda path: path.write_text("address: 8080\ncontrol: {port: 1}\n"),
    "a list": lambda path: path.write_text("- 1\n"),
    "no text": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "nothing": lambda path: path.write_bytes(b""),
    "no file": lambda path: path.unlink(),
    "a folder": _folder,
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "a broken link": lambda path: (path.unlink(), path.symlink_to("nowhere")),
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("production", "staging"):
        path = tmp_path / f"conf/deploy/{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(GOOD)
    (tmp_path / "conf/registry.yaml").write_text("remote: ''\n")
    subprocess.run(("git", "init", "-q"), cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("what", BROKEN)
def test_the_last_good_settings_count_where_the_file_is(root: Path, what: str) -> None:
    assert load_or_last_good(root, "production").problem == ""
    path = root / "conf/deploy/production.yaml"
    BROKEN[what](path)
    found = load_or_last_good(root, "production")
    assert found.value.drain_s == 7
    assert "production.yaml" in found.problem
    assert "the last good content of it counts" in found.problem


def test_without_a_copy_the_last_commit_that_fits_counts(root: Path) -> None:
    path = root / "conf/deploy/production.yaml"
    for text in (GOOD, GOOD + "drian_s: 5\n"):
        path.write_text(text)
        subprocess.run(("git", "add", "conf"), check=True)
        subprocess.run(("git", "commit", "-q", "-m", "Set"), check=True)
    found = load_or_last_good(root, "production")
    assert found.value.drain_s == 7
    assert "its content in commit" in found.problem


def test_a_file_that_was_never_good_is_refused(root: Path) -> None:
    (root / "conf/deploy/production.yaml").write_text("- 1\n")
    with pytest.raises(ParamsError, match="holds no mapping"):
        load_or_last_good(root, "production")
    with pytest.raises(InputError, match="no environment"):
        load_or_last_good(root, "home")


def test_a_disk_that_takes_no_copy_stops_nothing(root: Path) -> None:
    if os.geteuid() == 0:
        (root / ".facemodels").write_text("no folder")
    else:
        root.chmod(0o500)
    assert load_or_last_good(root, "production").problem == ""


@pytest.mark.parametrize("name", ["conf/deploy/production.yaml", "conf/registry.yaml"])
@pytest.mark.parametrize(
    "words",
    [("status",), ("down", "--environment", "production"), ("rollback", "--model-type", "rec", "-m", "x")],
    ids=lambda words: str(words[0]),
)  # fmt: skip
def test_status_down_and_rollback_say_what_is_broken_and_go_on(
    root: Path, name: str, words: tuple[str, ...]
) -> None:
    CliRunner().invoke(main, ["status"])  # as at any time before
    (root / name).write_text("remote: [\n")
    done = CliRunner().invoke(main, words)
    assert "Until that is mended, the last good content of it counts." in done.stderr
    if words[0] == "rollback":
        assert "No rec model is in production." in done.stderr  # it went as far as there is
    else:
        assert isinstance(done.exception, SystemExit | None)
        assert "No controller runs here" in done.stderr or "is down" in done.stdout


def test_a_deployment_still_asks_for_valid_settings(root: Path) -> None:
    CliRunner().invoke(main, ["status"])
    (root / "conf/deploy/production.yaml").write_text("remote: [\n")
    words = ("deploy", "--model-id", "rec-facenet-v1.0.0", "--environment", "production")
    assert CliRunner().invoke(main, words).exit_code == 2

"""Repositories in which the registry has no place are refused by every command alike."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from facemodels.cli.main import main
from facemodels.errors import InputError
from facemodels.git import find_root

ROOT = Path(__file__).resolve().parents[3]
COMMANDS = (
    "registry list", "registry models", "registry audit", "registry info rec-facenet-v1.0.0",
    "registry update-status rec-facenet-v1.0.0 --status staging", "registry repair",
    "release recognition-facenet -m x --dry-run", "storage doctor", "storage push", "storage audit",
    "storage backup", "storage retention", "storage init --url s3://bucket/prefix",
    "deploy --model-id rec-facenet-v1.0.0 --environment staging",
)  # fmt: skip


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


def refusals(monkeypatch: pytest.MonkeyPatch, folder: Path) -> set[str]:
    monkeypatch.chdir(folder)
    found = [CliRunner().invoke(main, command.split()) for command in COMMANDS]
    assert {one.exit_code for one in found} == {2}
    return {one.stderr for one in found}


def test_a_project_below_the_root_of_a_bigger_repository_gets_one_refusal(
    isolated: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "faces/.dvc").mkdir(parents=True)
    (tmp_path / "faces/.dvc/config").touch()
    (tmp_path / "faces/models").mkdir()
    (told,) = refusals(monkeypatch, tmp_path / "faces/models")
    assert f"{tmp_path}/faces is a project below the root of a Git repository" in told
    assert "git subtree split --prefix=faces" in told


@pytest.mark.parametrize("case", ["from the root", "settings of DVC above", "working tree"])
def test_a_project_below_the_root_is_refused_wherever_one_starts(
    isolated: None, tmp_path: Path, case: str
) -> None:
    start = tmp_path / "big"
    mark = start / "deep/faces" / ("conf/registry.yaml" if case[0] == "s" else ".dvc/config")
    for file in (mark, *([start / ".dvc/config"] if case[0] == "s" else [])):
        file.parent.mkdir(parents=True)
        file.touch()
    git(start, "init", "--quiet")
    git(start, "add", ".")
    git(start, "commit", "--quiet", "--message", "x")
    if case[0] == "w":
        git(start, "worktree", "add", "--quiet", "../beside")
        start = tmp_path / "beside"
    with pytest.raises(InputError, match=f"{start}/deep/faces is a project below the root"):
        find_root(start if case[0] == "f" else start / "deep/faces/models")
    for folder in (start, start / "deep/faces"):  # a clone in a folder of nobody's is its own
        shutil.rmtree(folder / ".dvc", ignore_errors=True)
    git(start, "init", "--quiet", "deep/faces")
    (start / "deep/faces/.dvc").mkdir()
    (start / "deep/faces/.dvc/config").touch()
    assert find_root(start) == start
    assert find_root(start / "deep/faces/models") == start / "deep/faces"


def test_a_repository_of_sha256_gets_one_refusal(
    isolated: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "--quiet", "--object-format=sha256")
    (told,) = refusals(monkeypatch, tmp_path)
    assert "SHA-256 object ids" in told
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "x")
    git(tmp_path, "worktree", "add", "--quiet", "beside")
    assert "SHA-256 object ids" in next(iter(refusals(monkeypatch, tmp_path / "beside")))


@pytest.mark.parametrize("case", ["separate", "submodule", "written otherwise"])
def test_sha256_is_seen_wherever_git_keeps_its_settings(
    isolated: None, tmp_path: Path, case: str
) -> None:
    made = tmp_path / "made"
    apart = ["--separate-git-dir=apart.git"] if case == "separate" else []
    git(tmp_path, "init", "--quiet", "--object-format=sha256", *apart, "made")
    git(made, "commit", "--quiet", "--allow-empty", "--message", "x")
    if case == "submodule":
        git(tmp_path, "init", "--quiet", "--object-format=sha256", "above")
        allowed = ("-c", "protocol.file.allow=always")
        git(tmp_path / "above", *allowed, "submodule", "--quiet", "add", str(made), "models")
        made = tmp_path / "above/models"
    if case == "written otherwise":
        text = (made / ".git/config").read_text().replace("= sha256", '= "sha256"  ; of the office')
        (made / ".git/config").write_text(text)
        assert git(made, "rev-parse", "--show-object-format") == "sha256\n"
    with pytest.raises(InputError, match="SHA-256 object ids"):
        find_root(made)


def test_a_clone_that_turns_lines_to_crlf_has_the_bytes_that_dvc_knows(tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "-c", "core.autocrlf=true", str(ROOT), "clone")
    listed = git(tmp_path / "clone", "ls-files", "--eol").splitlines()
    stored = [line.split()[:2] for line in listed]
    assert [pair for pair in stored if pair[0][2:] != pair[1][2:]] == []
    assert git(tmp_path / "clone", "status", "--porcelain") == ""

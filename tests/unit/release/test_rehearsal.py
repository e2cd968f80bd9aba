"""What would refuse a release at its end refuses it before anything is built."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from facemodels.errors import ConflictError, FacemodelsError, ToolError
from facemodels.git import Git
from facemodels.release.branch import Branch, push
from facemodels.release.rehearsal import rehearse_branch, rehearse_weights

HERE = Branch("main", "origin", "refs/heads/main", tracked=True)
MESSAGE = "Release x v1.1.0\n\nbetter\n"


@pytest.fixture
def git(isolated: None, tmp_path: Path) -> Git:
    """A clone with one pushed commit."""
    Git(tmp_path).text("init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
    Git(tmp_path).text("clone", "--quiet", "origin.git", "work")
    clone = Git(tmp_path / "work")
    clone.text("switch", "--quiet", "--create", "main")
    clone.text("commit", "--quiet", "--allow-empty", "--message=Start")
    clone.text("push", "--quiet", "--set-upstream", "origin", "main")
    return clone


def _merge(git: Git) -> None:
    git.text("switch", "--quiet", "--create", "other")
    git.text("commit", "--quiet", "--allow-empty", "--message=Theirs")
    git.text("switch", "--quiet", "main")
    git.text("merge", "--quiet", "--no-commit", "--no-ff", "--strategy=ours", "other")


def _hook(git: Git) -> None:
    hook = git.root / ".git/hooks/commit-msg"
    hook.write_text('#!/bin/sh\ngrep -q TICKET- "$1" || { echo which ticket >&2; exit 1; }\n')
    hook.chmod(0o755)


def test_who_was_overtaken_is_not_told_to_drop_a_commit_that_is_no_release(git: Git) -> None:
    Git(git.root.parent).text("clone", "--quiet", "origin.git", "theirs")
    theirs = Git(git.root.parent / "theirs")
    theirs.text("commit", "--quiet", "--allow-empty", "--message=Theirs")
    theirs.text("push", "--quiet")
    git.text("commit", "--quiet", "--allow-empty", "--message=Ours")
    with pytest.raises(ConflictError, match="is behind origin") as refused:
        rehearse_branch(git, HERE, MESSAGE)
    assert "pull --rebase" in str(refused.value)
    assert "reset" not in str(refused.value)


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (_merge, "a merge is under way"),
        (_hook, "which ticket"),
        (lambda git: (git.root / ".git/index.lock").touch(), r"index\.lock"),
        (
            lambda git: git.text("remote", "set-url", "--push", "origin", "no"),
            "would not take main",
        ),
    ],
)
def test_what_stops_the_commit_or_the_push_is_told_first(
    git: Git, act: Callable[[Git], object], said: str
) -> None:
    rehearse_branch(git, HERE, MESSAGE)
    act(git)
    with pytest.raises(FacemodelsError, match=f"(?s){said}.*Nothing was built"):
        rehearse_branch(git, HERE, MESSAGE)


def test_an_author_that_git_does_not_know_is_told_first(
    git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GIT_AUTHOR_NAME", raising=False)
    monkeypatch.delenv("GIT_AUTHOR_EMAIL", raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    git.text("config", "user.useConfigOnly", "true")
    with pytest.raises(FacemodelsError, match="who writes the release's commit"):
        rehearse_branch(git, HERE, MESSAGE)


def test_a_branch_that_git_kept_back_in_silence_is_no_success(git: Git) -> None:
    git.text("commit", "--quiet", "--allow-empty", "--message=More")
    git.text("config", "push.recurseSubmodules", "only")
    with pytest.raises(ToolError, match="does not have it"):
        push(git, HERE, "Release x v1.1.0")


def test_weights_that_the_remote_would_not_take_are_told_first(git: Git, tmp_path: Path) -> None:
    from dvc.repo import Repo

    Repo.init(str(git.root), subdir=False).close()
    config = git.root / ".dvc/config"
    (tmp_path / "file").touch()
    for url, whole in ((tmp_path / "store", True), (tmp_path / "file/store", False)):
        config.write_text(f"[core]\n    remote = far\n['remote \"far\"']\n    url = {url}\n")
        if whole:
            rehearse_weights(git.root, "far")
            assert not [path for path in url.rglob("*") if path.is_file()]
        else:
            with pytest.raises(ToolError, match=r"far takes no weights.*Nothing was built"):
                rehearse_weights(git.root, "far")

"""The DVC files at the tips of refs are found, also in a clone that lacks their blobs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from facemodels.errors import FacemodelsError
from facemodels.git import Git
from facemodels.storage.retention.git_files import files_of_refs


def git(root: Path, *words: str) -> None:
    subprocess.run(("git", *words), cwd=root, check=True, capture_output=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """`main` and the tags `v1` and `v2`, whose files differ."""
    root = tmp_path / "origin"
    (root / "data/deep").mkdir(parents=True)
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "config", "uploadpack.allowFilter", "true")
    for number in (1, 2, 3):
        (root / "dvc.lock").write_text(f"lock {number}")
        (root / "data/deep/one.dvc").write_text("the same")
        (root / "data/other.txt").write_text("no file of DVC's")
        git(root, "add", ".")
        git(root, "commit", "--quiet", "-m", f"{number}")
        git(root, "tag", "-a", "-m", "x", f"v{number}")
    git(root, "tag", "-d", "v3")
    return root


def test_each_ref_is_read_and_a_file_that_is_the_same_once(root: Path) -> None:
    same = ("data/deep/one.dvc", b"the same")
    locks = [("dvc.lock", f"lock {number}".encode()) for number in (1, 2, 3)]
    assert sorted(files_of_refs(Git(root), [])) == [same, *locks]
    assert sorted(files_of_refs(Git(root), ["v2"])) == [same, locks[0], locks[2]]


def test_a_partial_clone_fetches_what_it_lacks(root: Path, tmp_path: Path) -> None:
    words = ("clone", "--quiet", "--no-checkout", "--filter=blob:none", root.as_uri(), "partial")
    git(tmp_path, *words)
    partial = files_of_refs(Git(tmp_path / "partial"), [])
    assert list(partial) == list(files_of_refs(Git(root), []))


def test_a_missing_tree_stops(root: Path) -> None:
    tree = Git(root).text("rev-parse", "v1^{tree}")
    (root / ".git/objects" / tree[:2] / tree[2:]).unlink()
    with pytest.raises(FacemodelsError, match=tree):
        list(files_of_refs(Git(root), []))

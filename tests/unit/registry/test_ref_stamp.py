"""Every change of a tag or of the head shows in the stamp of the refs, and nothing else does."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from facemodels.git import Git
from facemodels.registry.reading import HEAD
from facemodels.registry.ref_stamp import RefStamp, Stamp


def test_tags_the_head_and_packing_change_the_stamp(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        subprocess.run(("git", *words), cwd=tmp_path, check=True, capture_output=True)

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "Begin")
    watch = RefStamp(Git(tmp_path))

    def settled() -> Stamp:
        """The stamp once the times of the files are certain."""
        while (found := watch.take()) is None:
            time.sleep(0.01)
        return found

    seen = [settled()]
    for words in (
        ("tag", "recognition-facenet@v1.0.0"),
        ("tag", "-f", "-a", "-m", "x", "recognition-facenet@v1.0.0"),
        ("update-ref", HEAD, "HEAD"),
        ("pack-refs", "--all"),
        ("tag", "-d", "recognition-facenet@v1.0.0"),
    ):
        git(*words)
        seen.append(settled())
    assert len(set(seen)) == len(seen)
    git("commit", "-q", "--allow-empty", "-m", "Go on")
    (tmp_path / "file").write_text("no ref")
    assert settled() == seen[-1]
    os.utime(tmp_path / ".git/refs/tags")
    assert watch.take() is None  # another change may have the same time


def test_a_folder_without_a_repository_has_no_stamp(tmp_path: Path) -> None:
    assert RefStamp(Git(tmp_path)).take() is None

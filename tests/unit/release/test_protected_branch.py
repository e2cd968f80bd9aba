"""A host that lets nobody push to its main branch: the commands of the refusal lead to the tag."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from facemodels.errors import ToolError
from facemodels.git import Git
from facemodels.names import ModelId
from facemodels.release import branch, facts
from facemodels.release.plan import PreviousVersion

LOCK = "schema: '2.0'\nstages: {x: {cmd: x, outs: [{path: models/x, md5: 0a.dir}]}}\n"
HOOK = '#!/bin/sh\nwhile read old new ref; do [ "$ref" != refs/heads/main ] || exit 1; done\n'


def run(folder: Path, *words: str) -> str:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("merge", ["--squash", "--no-ff", "--ff-only"])
def test_the_refusal_names_the_way_over_a_pull_request(
    isolated: None, tmp_path: Path, merge: str
) -> None:
    run(tmp_path, "git", "init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
    run(tmp_path, "git", "clone", "--quiet", "origin.git", "work")
    work = tmp_path / "work"
    run(work, "git", "switch", "--quiet", "--create", "main")
    run(work, "git", "commit", "--quiet", "--allow-empty", "--message", "Start")
    run(work, "git", "push", "--quiet", "--set-upstream", "origin", "main")
    (tmp_path / "origin.git/hooks/pre-receive").write_text(HOOK)
    (tmp_path / "origin.git/hooks/pre-receive").chmod(0o755)
    (work / "dvc.lock").write_text(LOCK)
    git = Git(work)
    subject = "Release recognition-facenet v1.1.0"
    assert branch.commit(git, {"dvc.lock"}, subject)
    made = git.commit("HEAD")
    here = branch.Branch("main", "origin", "refs/heads/main", tracked=True)
    with pytest.raises(ToolError) as told:
        branch.push(git, here, subject)
    assert "protected" in told.value.remedy
    send = told.value.remedy.partition("pull request: ")[2].partition(". After")[0]
    run(work, "sh", "-ec", send)

    host = tmp_path / "host"
    run(tmp_path, "git", "clone", "--quiet", "origin.git", "host")
    run(host, "git", "merge", "--quiet", merge, "origin/release/recognition-facenet-v1.1.0")
    if merge == "--squash":
        run(host, "git", "commit", "--quiet", "--message", "Release (#1)")
    run(tmp_path / "origin.git", "git", "fetch", "--quiet", str(host), "+main:main")

    run(work, "sh", "-ec", "git switch main && git pull")
    branch.require_up_to_date(git, here)
    assert branch.changes(git) == []
    previous = PreviousVersion(ModelId.parse("rec-facenet-v1.1.0"), "models/x", made)
    assert facts.contains_release(git, previous)
    assert branch.contains(git, made) == (merge != "--squash")

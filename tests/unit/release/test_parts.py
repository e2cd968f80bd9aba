"""The parts of a release that need no clone: the frozen version, what is foreign, the way out."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from facemodels.cli.main import main
from facemodels.errors import ConflictError, InputError, RuleError
from facemodels.files import write_json
from facemodels.git import Git
from facemodels.package.load import open_package
from facemodels.package.verify import write_checksums
from facemodels.params import Compare
from facemodels.registry import bump as bumps
from facemodels.registry import semver
from facemodels.release import branch, dvc, frozen
from facemodels.release.branch import FileChange

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "dlib-v1.0.0"
OUT = {
    "path": "models/landmarks/dlib-v1.0.0", "hash": "md5", "md5": "0a.dir", "size": 3, "nfiles": 6,
}  # fmt: skip
SETTINGS = Compare(baselines={}, resamples=10, confidence=0.9, seed=1, threads=1, warmup=0, runs=1)
names = st.lists(st.from_regex(r"[a-z]+-v[0-9]", fullmatch=True), unique=True)


def test_a_frozen_version_reads_as_dvc_itself_writes_it() -> None:
    text = frozen.dvc_file_text(OUT)
    assert text == (
        "outs:\n- md5: 0a.dir\n  size: 3\n  nfiles: 6\n  hash: md5\n  path: dlib-v1.0.0\n"
    )
    assert yaml.safe_load(frozen.dvc_file_text({**OUT, "cloud": {"s3": {}}}))["outs"][0]["cloud"]


@given(names, names, names)
def test_ignored_folders_keep_their_order_and_come_once(
    before: list[str], add: list[str], drop: list[str]
) -> None:
    text = "".join(f"/{name}\n" for name in before)
    after = frozen.ignore(text, add=add, drop=drop)
    lines = after.splitlines()
    kept = [f"/{name}" for name in before if name not in drop]
    assert lines[: len(kept)] == kept
    assert set(lines) == set(kept) | {f"/{name}" for name in add}
    assert len(lines) == len(set(lines))
    assert frozen.ignore(after, add=add) == after


def test_only_what_a_fresh_clone_would_miss_is_foreign() -> None:
    found = [
        FileChange("params.yaml", untracked=False),
        FileChange("NOTICE", untracked=False),
        FileChange("notes.txt", untracked=True),
        FileChange("src/facemodels/landmarks/new.py", untracked=True),
        FileChange("src/facemodels/landmarks2.py", untracked=True),
        FileChange("models/landmarks/dlib-v1.0.0.dvc", untracked=True),
    ]
    own = {"params.yaml", "models/landmarks/dlib-v1.0.0.dvc"}
    deps = {"src/facemodels/landmarks", "models/landmarks"}
    assert branch.foreign(found, own, deps) == ["NOTICE", "src/facemodels/landmarks/new.py"]


def test_giving_up_names_the_releases_files_alone() -> None:
    found = [
        FileChange("params.yaml", untracked=False),
        FileChange("a.dvc", untracked=True),
        FileChange("notes.txt", untracked=True),
    ]
    told = branch.abandon(found, {"params.yaml", "a.dvc", "dvc.lock"}, "models/x", ["train@x"])
    assert told == (
        "git restore --staged --worktree -- params.yaml && "
        "git clean -d --force --quiet -- a.dvc models/x && dvc checkout train@x"
    )
    assert branch.abandon(found[2:], {"params.yaml"}, "models/x", []) == ""


def test_a_folder_that_was_not_pulled_is_no_change() -> None:
    entries = [
        "changed command",
        {"changed deps": {"data": "deleted", "code.py": "modified", "params.yaml": {"a": "new"}}},
        {"changed outs": {"out": "modified"}},
    ]
    assert list(dvc._changed(entries)) == ["changed command", "code.py", "params.yaml"]


@pytest.mark.parametrize("bump", ["patch", "minor"])
def test_another_interface_needs_a_major_bump(bump: semver.Level, tmp_path: Path) -> None:
    folder = shutil.copytree(GOLDEN, tmp_path / "dlib-v1.0.0")
    old = open_package(GOLDEN)
    write_json(folder / "metadata.json", {**old.metadata, "output_shape": [5, 2]})
    write_checksums(folder)
    comparison = bumps.compare(old, open_package(folder), tmp_path, SETTINGS)
    new = semver.bump(old.id.version, bump)
    with pytest.raises(RuleError, match=r"at least major is due: output shape .* Use 2\.0\.0"):
        semver.check(old.id.version, new, comparison.ruling)
    semver.check(old.id.version, semver.bump(old.id.version, "major"), comparison.ruling)


def test_the_command_shows_an_example_and_wants_a_message() -> None:
    runner = CliRunner()
    assert "Example:" in runner.invoke(main, ["release", "--help"]).output
    done = runner.invoke(main, ["release", "landmark-dlib", "--bump", "minor"])
    assert done.exit_code == 2
    assert "--message" in done.output


def test_the_command_is_imported_without_what_takes_long() -> None:
    import subprocess
    import sys

    code = "import sys, facemodels.cli.release; print([m for m in ('torch', 'dvc', 'gto', 'ruamel.yaml') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_commit_takes_its_own_files_and_leaves_what_is_staged(tmp_path: Path) -> None:
    git = Git(tmp_path)
    git.text("init", "--quiet", "--initial-branch", "main")
    for name in ("mine", "other", "gone"):
        (tmp_path / name).write_text("1")
    git.text("add", "--all")
    git.text("commit", "--quiet", "--message", "Start")
    for name in ("mine", "other", "new name", "stranger"):
        (tmp_path / name).write_text("2")
    (tmp_path / "gone").unlink()
    git.text("add", "other")
    assert branch.commit(git, {"mine", "new name", "gone", "absent"}, "Release x\n\n# body\n")
    assert git.text("log", "-1", "--format=%B").split("\n\n") == ["Release x", "# body\n"]
    named = git.text("show", "--format=", "--name-only").splitlines()
    assert named == ["gone", "mine", "new name"]
    assert git.text("status", "--porcelain").splitlines() == ["M  other", "?? stranger"]
    assert not branch.commit(git, {"mine"}, "again")


def test_a_clone_that_was_never_fetched_to_is_behind(tmp_path: Path) -> None:
    git = Git(tmp_path / "one")
    Git(tmp_path).text("init", "--quiet", "--bare", "--initial-branch", "main", "origin.git")
    for name in ("one", "two"):
        Git(tmp_path).text("clone", "--quiet", "origin.git", name)
    git.text("commit", "--quiet", "--allow-empty", "--message", "Start")
    here = branch.read(git, "origin")
    branch.require_up_to_date(git, here)  # the remote has no branch yet
    branch.push(git, here, "Release x v1.0.0")
    two = Git(tmp_path / "two")
    two.text("pull", "--quiet", "origin", "main")
    two.text("commit", "--quiet", "--allow-empty", "--message", "Theirs")
    two.text("push", "--quiet", "origin", "HEAD:main")
    refs = git.text("for-each-ref")
    with pytest.raises(ConflictError, match=r"main is behind origin.*--autostash"):
        branch.require_up_to_date(git, here)
    git.text("commit", "--quiet", "--allow-empty", "--message", "Release x v1.1.0")
    with pytest.raises(ConflictError, match=r"drop yours \(\"Release x v1\.1\.0\""):
        branch.require_up_to_date(git, here)
    with pytest.raises(ConflictError, match="Somebody pushed to origin first"):
        branch.push(git, here, "Release x v1.1.0")
    assert refs.splitlines()[1:] == git.text("for-each-ref").splitlines()[1:]
    git.text("switch", "--quiet", "--detach")
    with pytest.raises(InputError, match="No branch is checked out"):
        branch.read(git, "origin")

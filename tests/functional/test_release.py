"""`facemodels release` on real clones, with a bare repository and a folder as DVC's remote."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from facemodels.package.load import open_package

from .conftest import BESIDE, Clone, copy_clone, edit_profile, stages_run

pytestmark = pytest.mark.timeout(1500)

NAME = "landmark-dlib"
CARD = f"conf/model/{NAME}.yaml"
FIRST, SECOND = "models/landmarks/dlib-v1.0.0", "models/landmarks/dlib-v1.1.0"
STAGES = ("package@landmark-dlib", "benchmark@landmark-dlib", "compare@landmarks")
KILLED = 9
# `python -c DRIVER STEP BUMP`: a release that is killed before STEP, at a clock that stands.
DRIVER = """
import os, sys
from pathlib import Path
from facemodels.registry.registry import open_registry
from facemodels.release.plan import ReleaseRequest
from facemodels.release.steps import Release
at, bump = sys.argv[1:]
def stop(step):
    if step == at:
        os._exit(9)
asked = ReleaseRequest("landmark-dlib", bump or None, "Deeper")
Release(open_registry(Path.cwd()), asked, before_step=stop, clock=lambda: 1_790_000_000).run()
"""


class ReleaseSite:
    """A bare repository, a DVC remote, and clones beside them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def one(self) -> Clone:
        return Clone(self.folder / "one")

    def clone(self, name: str) -> Clone:
        target = self.folder / name
        Clone(self.folder).run("git", "clone", "--quiet", "origin.git", str(target))
        made = Clone(target)
        made.run(
            "git", "config", "remote.origin.url", "../origin.git"
        )  # so that a copy has its own
        return made

    def copy(self, target: Path) -> ReleaseSite:
        copy_clone(self.folder, target)
        return ReleaseSite(target)

    def refs(self) -> str:
        return Clone(self.folder / "origin.git").run("git", "for-each-ref").stdout


def release(clone: Clone, *arguments: str, code: int = 0) -> str:
    done = clone.ours("release", NAME, *arguments, code=code)
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def change(clone: Clone, message: str = "Change", **values: object) -> None:
    """Commit and push other hyperparameters of the network."""
    edit_profile(clone, lambda tree: tree["models"][NAME]["network"].update(values))
    clone.commit(message)
    clone.run("git", "push", "--quiet")


def tags(clone: Clone) -> list[str]:
    return clone.run("git", "tag", "--list").stdout.split()


def status(clone: Clone) -> str:
    return clone.run("git", "status", "--porcelain").stdout


def tree_digests(folder: Path) -> dict[str, str]:
    """Of every file, refs and objects included; what DVC and Git scribble for speed left out."""
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*"))}
    scribbles = re.compile(r"(^|/)(\.dvc/tmp/|\.git/index$|__pycache__/)")
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in files.items()
        if path.is_file() and not scribbles.search(name)
    }


def settled(clone: Clone) -> None:
    """Nothing is left to do: neither for Git, nor DVC, nor the registry, nor Hydra."""
    assert status(clone) == ""
    assert clone.run("git", "log", "@{upstream}..").stdout == ""
    assert clone.run("dvc", "status", *STAGES).stdout.strip().endswith("up to date.")
    clone.ours("params", "--check")
    assert "each where it was signed off" in clone.ours("registry", "audit").stdout


@pytest.fixture(scope="session")
def origin(trimmed: Clone, tmp_path_factory: pytest.TempPathFactory) -> ReleaseSite:
    """Nothing is registered; `one` has pulled what belongs to the landmarks."""
    site = ReleaseSite(tmp_path_factory.mktemp("origin"))
    outside = Clone(site.folder)
    outside.run("git", "clone", "--quiet", str(trimmed.folder), "seed")
    seed = Clone(site.folder / "seed")
    config = seed.read("conf/config.yaml").replace("- profile: laptop", "- profile: smoke")
    (seed.folder / "conf/config.yaml").write_text(config)
    seed.ours("params", "--check")
    seed.run("dvc", "repro", "code")  # it depends on the list of conf/config.yaml
    seed.run("dvc", "remote", "add", "--force", "--default", "storage", "../storage")
    seed.commit("Small, with a remote")
    seed.run("dvc", "config", "--local", "cache.dir", str(trimmed.folder / ".dvc/cache"))
    seed.run("dvc", "push")
    outside.run("git", "init", "--quiet", "--bare", "--initial-branch", "main", "origin.git")
    seed.run("git", "push", "--quiet", "../origin.git", "HEAD:refs/heads/main")
    shutil.rmtree(seed.folder)
    wanted = ("prepare@landmarks", f"train@{NAME}", f"validate@{NAME}", *STAGES)
    site.clone("one").run("dvc", "pull", *wanted)
    return site


@pytest.fixture(scope="session")
def first(origin: ReleaseSite, tmp_path_factory: pytest.TempPathFactory) -> ReleaseSite:
    """Version 1.0.0 is released as it stood."""
    site = origin.copy(tmp_path_factory.mktemp("first") / "site")
    head = site.one.run("git", "rev-parse", "HEAD").stdout
    told = release(site.one, "--message", "To start with", "--tag", "sample")
    assert f"Released lmk-dlib-v1.0.0 as {NAME}@v1.0.0" in told
    assert stages_run(told) == []
    assert site.one.run("git", "rev-parse", "HEAD").stdout == head  # nothing to commit
    return site


@pytest.fixture(scope="session")
def second(first: ReleaseSite, tmp_path_factory: pytest.TempPathFactory) -> ReleaseSite:
    """Version 1.1.0 was first built under the old number, as somebody would who tries it."""
    site = first.copy(tmp_path_factory.mktemp("second") / "site")
    change(site.one, cascade_depth=8)
    site.one.ours("params")
    site.one.run("dvc", "repro", *STAGES)
    site.one.commit("Build it")
    site.one.run("git", "push", "--quiet")
    done = site.one.run("python", "-c", DRIVER, "", "minor", check=False)
    assert done.returncode == 0, done.stderr
    assert f"train@{NAME}" not in stages_run(done.stderr)
    assert not re.search("git add|dvc push|autostage", done.stderr)  # it does all that itself
    return site


@pytest.fixture
def site(first: ReleaseSite, tmp_path: Path) -> ReleaseSite:
    return first.copy(tmp_path / "site")


def test_a_first_release_needs_no_bump_and_is_what_stands_in_conf(site: ReleaseSite) -> None:
    shown = json.loads(
        site.one.ours("registry", "info", "--model-id", "lmk-dlib-v1.0.0", "--json").stdout
    )
    assert (shown["tags"], shown["parent_version"]) == (["sample"], "")
    assert shown["evidence"]["suite"] == [f"benchmark@{NAME}"]
    settled(site.one)


def test_after_a_release_there_is_nothing_to_release(site: ReleaseSite) -> None:
    before = site.refs()
    told = release(site.one, "--bump", "minor", "--message", "Again", code=2)
    assert "Nothing has changed since lmk-dlib-v1.0.0" in told
    assert (status(site.one), site.refs()) == ("", before)


def test_a_fresh_clone_gets_both_versions(second: ReleaseSite, tmp_path: Path) -> None:
    site = second.copy(tmp_path / "site")
    settled(site.one)
    fresh = site.clone("fresh")
    fresh.run("dvc", "pull")
    assert status(fresh) == ""
    assert fresh.run("dvc", "status").stdout.strip().endswith("up to date.")
    fresh.ours("params", "--check")
    for folder in (FIRST, SECOND):
        open_package(fresh.folder / folder)  # it verifies
    assert fresh.read(f"{FIRST}/checksums.sha256") != fresh.read(f"{SECOND}/checksums.sha256")
    for number, expected in (("v1.0.0", FIRST), ("v1.1.0", SECOND)):
        fresh.run("dvc", "artifacts", "get", ".", NAME, "--rev", number, "--out", f"../{number}")
        open_package(site.folder / number)
        got = (site.folder / number / "checksums.sha256").read_text()
        assert got == fresh.read(f"{expected}/checksums.sha256")


def test_the_old_bytes_come_back_where_they_were_built_over(
    first: ReleaseSite, second: ReleaseSite
) -> None:
    assert tree_digests(second.one.folder / FIRST) == tree_digests(first.one.folder / FIRST)
    card = json.loads(second.one.read(f"{SECOND}/metadata.json"))
    assert (card["parent_version"], card["changelog"]) == ("1.0.0", "Deeper")
    report = second.one.read("reports/compare/landmarks.md")
    assert "lmk-dlib-v1.1.0 against lmk-dlib-v1.0.0: better" in report


def test_the_commit_holds_what_a_release_touches_and_says_why(second: ReleaseSite) -> None:
    told = second.one.run("git", "log", "-1", "--format=%B").stdout
    assert told.startswith(f"Release {NAME} v1.1.0\n\nDeeper\n\n")
    assert "at least minor: accuracy is better" in told
    named = second.one.run("git", "show", "--format=", "--name-only").stdout.split()
    assert {CARD, "conf/config.yaml", "params.yaml", "dvc.lock", f"{FIRST}.dvc"} <= set(named)
    changed = second.one.run("git", "show", "--format=", "--", CARD).stdout
    lines = [line for line in changed.splitlines() if re.match(r"[+-][^+-]", line)]
    assert len(lines) == 8  # version, created_at, changelog, parent_version; no comment moved


def test_the_new_package_is_on_the_remote_object_by_object(
    second: ReleaseSite, tmp_path: Path
) -> None:
    site = second.copy(tmp_path / "site")
    code = (
        "import sys; from pathlib import Path; from facemodels.release.dvc import missing_on_remote;"
        "print(missing_on_remote(Path.cwd(), sys.argv[1:]))"
    )
    lock = yaml.safe_load(site.one.read("dvc.lock"))["stages"][f"package@{NAME}"]["outs"][0]["md5"]
    assert site.one.run("python", "-c", code, lock).stdout == "[]\n"
    stored = site.folder / "storage/files/md5"
    listed = json.loads((stored / lock[:2] / lock[2:]).read_text())
    lost = listed[0]["md5"]
    (stored / lost[:2] / lost[2:]).unlink()
    assert lost in site.one.run("python", "-c", code, lock).stdout


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(("push",), id="last"),
        pytest.param(
            ("freeze", "card", "compose", "rebuild", "judge", "commit", "push", "register"),
            id="all", marks=pytest.mark.full,
        ),
    ],
)  # fmt: skip
def test_a_release_killed_before_its_steps_ends_as_one_that_was_not(
    first: ReleaseSite, second: ReleaseSite, tmp_path: Path, steps: tuple[str, ...]
) -> None:
    site = first.copy(tmp_path / "site")
    change(site.one, cascade_depth=8)
    trained = 0
    for step in steps:
        done = site.one.run("python", "-c", DRIVER, step, "minor", check=False)
        assert done.returncode == KILLED, done.stderr
        trained += stages_run(done.stderr).count(f"train@{NAME}")
        assert f"{NAME}@v1.1.0" not in site.refs()
    done = site.one.run("python", "-c", DRIVER, "", "minor", check=False)
    assert done.returncode == 0, done.stderr
    assert trained == 1
    settled(site.one)
    assert tags(site.one) == tags(second.one)
    for path in ("dvc.lock", "params.yaml", CARD, "conf/config.yaml", f"{FIRST}.dvc"):
        assert site.one.read(path) == second.one.read(path), path
    subjects = site.one.run("git", "log", "--format=%s").stdout.splitlines()
    assert subjects[:2] == [f"Release {NAME} v1.1.0", "Change"]
    told = release(site.one, "--bump", "minor", "--message", "Deeper", code=2)
    assert "Nothing has changed since lmk-dlib-v1.1.0" in told


def test_a_bump_too_small_is_refused_and_can_be_raised_or_given_up(
    site: ReleaseSite, tmp_path: Path
) -> None:
    change(site.one, cascade_depth=8)
    refs = site.refs()
    told = release(site.one, "--bump", "patch", "--message", "Deeper", code=5)
    assert "1.0.0 → 1.0.1 is a patch bump, but at least minor is due" in told
    assert "without training again" in told
    assert f"train@{NAME}" in stages_run(told)
    assert site.refs() == refs

    given_up = site.copy(tmp_path / "given-up")
    commands = told.rpartition("To give the release up: ")[2].strip()
    given_up.one.run("sh", "-ec", commands)
    assert status(given_up.one) == ""
    assert tree_digests(given_up.one.folder / FIRST) == tree_digests(site.one.folder / FIRST)
    assert not (given_up.one.folder / "models/landmarks/dlib-v1.0.1").exists()

    away = site.folder / "away"
    (site.folder / "storage").rename(away)
    (site.folder / "storage").write_text("no folder")
    told = release(site.one, "--bump", "minor", "--message", "Deeper", code=1)
    assert stages_run(told) == []
    assert "storage takes no weights" in told
    assert (tags(site.one), site.refs()) == ([f"{NAME}@v1.0.0"], refs)
    (site.folder / "storage").unlink()
    away.rename(site.folder / "storage")
    told = release(site.one, "--bump", "minor", "--message", "Deeper")
    assert f"train@{NAME}" not in stages_run(told)
    assert sorted(p.name for p in (site.one.folder / "models/landmarks").iterdir()) == [
        ".gitignore", "dlib-v1.0.0", "dlib-v1.0.0.dvc", "dlib-v1.1.0",
    ]  # fmt: skip
    settled(site.one)


@pytest.mark.full
def test_worse_accuracy_needs_somebody_who_answers_for_it(
    second: ReleaseSite, tmp_path: Path
) -> None:
    site = second.copy(tmp_path / "site")
    change(site.one, cascade_depth=1)
    told = release(site.one, "--bump", "major", "--message", "Smaller", code=5)
    assert "accuracy of 2.0.0 is worse than of 1.1.0" in told
    asked = ("--bump", "major", "-m", "Smaller", "--accept-regression", "It must fit.", "--json")
    done = site.one.ours("release", NAME, *asked)
    assert stages_run(done.stderr) == []
    assert json.loads(done.stdout)["model_id"] == "lmk-dlib-v2.0.0"
    assert "It must fit." in site.one.run("git", "log", "-1", "--format=%B").stdout
    settled(site.one)
    for folder in (FIRST, SECOND, "models/landmarks/dlib-v2.0.0"):  # all three, side by side
        open_package(site.one.folder / folder)


def test_a_dry_run_touches_nothing(site: ReleaseSite) -> None:
    change(site.one, cascade_depth=3)
    before, refs = tree_digests(site.folder), site.refs()
    told = release(site.one, "--bump", "minor", "--message", "Deeper", "--dry-run")
    assert [line.split()[1] for line in told.splitlines()[:9]] == [
        "check", "freeze", "card", "compose", "rebuild", "judge", "commit", "push", "register",
    ]  # fmt: skip
    for word in (f"{FIRST}.dvc", "1.0.0 → 1.1.0", f"{NAME}@v1.1.0", "storage", "origin"):
        assert word in told
    as_json = site.one.ours(
        "release", NAME, "--bump", "minor", "-m", "x", "--dry-run", "--json"
    ).stdout
    assert json.loads(as_json)["model_id"] == "lmk-dlib-v1.1.0"
    assert (tree_digests(site.folder), site.refs()) == (before, refs)


def _edit_params(clone: Clone) -> None:
    path = clone.folder / "params.yaml"
    path.write_text(path.read_text().replace("nu: 0.1", "nu: 0.7"))


def _edit_config(clone: Clone) -> None:
    path = clone.folder / "conf/config.yaml"
    path.write_text(path.read_text().replace("real_root: data/raw", "real_root: elsewhere"))


def _edit_lock(clone: Clone) -> None:
    path = clone.folder / "dvc.lock"
    path.write_text(path.read_text().replace(f"stages/train.py {BESIDE}", "other"))


def _stage(clone: Clone) -> None:
    (clone.folder / "NOTICE").write_text("mine")
    clone.run("git", "add", "NOTICE")


def _add_code(clone: Clone) -> None:
    (clone.folder / "src/facemodels/landmarks/new.py").write_text("")


def _leave_package(clone: Clone) -> None:
    (clone.folder / "models/landmarks/dlib-v0.9.0").mkdir()


@pytest.mark.parametrize(
    ("dirty", "named"),
    [
        (_stage, "NOTICE"),
        (_add_code, "src/facemodels/landmarks/new.py"),
        (_edit_params, "params.yaml (values that conf/ does not have"),
        (_edit_config, "conf/config.yaml (more than the baseline"),
        (_edit_lock, f"dvc.lock (train@{BESIDE})"),
        (_leave_package, "rm -r models/landmarks/dlib-v0.9.0"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_tree_with_other_changes_is_refused(
    site: ReleaseSite, dirty: Callable[[Clone], None], named: str
) -> None:
    dirty(site.one)
    before = status(site.one)
    told = release(site.one, "--bump", "minor", "--message", "x", code=2)
    assert named in told
    assert status(site.one) == before


def test_words_alone_make_a_patch_even_where_nothing_was_pulled(site: ReleaseSite) -> None:
    fresh = site.clone("fresh")
    card = fresh.read(CARD).replace("68 facial points", "Sixty-eight facial points")
    (fresh.folder / CARD).write_text(card)  # the model's own file may be edited
    (fresh.folder / "notes.txt").write_text("mine")
    told = release(fresh, "--bump", "patch", "--message", "A clearer description")
    assert stages_run(told) == [f"package@{NAME}", f"benchmark@{NAME}", "compare@landmarks"]
    assert status(fresh) == "?? notes.txt\n"  # strangers stay out of the commit
    new = json.loads(fresh.read("models/landmarks/dlib-v1.0.1/metadata.json"))
    old = json.loads(fresh.read(f"{FIRST}/metadata.json"))
    assert new["description"].startswith("Sixty-eight")
    assert new["checksum"] == old["checksum"]


def test_a_branch_behind_its_remote_is_refused(site: ReleaseSite) -> None:
    two = site.clone("two")
    change(two, cascade_depth=4)
    told = release(site.one, "--bump", "minor", "--message", "x", code=6)
    assert "main is behind origin" in told
    site.one.run("git", "switch", "--quiet", "--detach")
    assert "No branch is checked out" in release(site.one, "--bump", "minor", "-m", "x", code=2)


def test_of_two_clones_that_release_at_once_one_wins(site: ReleaseSite) -> None:
    card = site.one.read(CARD).replace("68 facial points", "Points")
    (site.one.folder / CARD).write_text(card)
    site.one.commit("Fewer words")
    site.one.run("git", "push", "--quiet")
    two = site.folder / "two"
    shutil.copytree(site.one.folder, two, symlinks=True)
    done = site.one.run("python", "-c", DRIVER, "push", "patch", check=False)
    assert done.returncode == KILLED
    release(Clone(two), "--bump", "patch", "--message", "Theirs")
    refs = site.refs()

    # `one` looked before they pushed, and comes to its own push after them:
    late = (
        "import facemodels.release.branch as b; b.require_up_to_date = lambda *_: None;"
        "import facemodels.release.rehearsal as t; t.rehearse_branch = lambda *_: None;"
        "import facemodels.registry.tag_store as r; r.TagStore.sync = lambda *_: 0\n"
    )
    done = site.one.run("python", "-c", late + DRIVER, "", "patch", check=False)
    assert done.returncode == 1
    assert "ConflictError: Somebody pushed to origin first" in done.stderr
    assert "git reset --keep HEAD~1" in done.stderr
    assert (tags(site.one), site.refs()) == ([f"{NAME}@v1.0.0"], refs)
    told = release(site.one, "--bump", "patch", "--message", "Deeper", code=6)
    assert "main is behind origin" in told
    assert "git reset --keep HEAD~1" in told
    site.one.run("git", "reset", "--quiet", "--keep", "HEAD~1")
    site.one.run("git", "pull", "--quiet", "--rebase")
    told = release(site.one, "--bump", "patch", "--message", "Deeper", code=2)
    assert "Nothing has changed since lmk-dlib-v1.0.1" in told


def test_who_may_not_register_is_told_before_anything_is_built(site: ReleaseSite) -> None:
    path = site.one.folder / "conf/registry.yaml"
    path.write_text("signatures: required\n")
    change(site.one, cascade_depth=3)
    told = release(site.one, "--bump", "minor", "--message", "x", code=2)
    assert "git knows no key of yours" in told
    assert status(site.one) == ""


def test_a_licence_that_nobody_allowed_is_told_before_anything_is_built(site: ReleaseSite) -> None:
    path = site.one.folder / "conf/registry.yaml"
    path.write_text("licenses: [MIT]\n")
    change(site.one, cascade_depth=3)
    told = release(site.one, "--bump", "minor", "--message", "x", code=5)
    assert "the licence of landmark-dlib is Apache-2.0" in told
    assert status(site.one) == ""


def test_a_clone_without_remotes_releases_for_itself(origin: ReleaseSite, tmp_path: Path) -> None:
    alone = origin.copy(tmp_path / "site").one
    alone.run("git", "remote", "remove", "origin")
    alone.run("dvc", "remote", "remove", "storage")
    alone.commit("No remote")
    asked = ("--bump", "minor", "--message", "To start with")
    assert "--local" in release(alone, *asked, code=1)
    told = release(alone, *asked, "--local")
    assert "No Git remote" in told
    assert "No default DVC remote" in told
    assert "says nothing" in told  # of --bump, for a first release
    assert tags(alone) == [f"{NAME}@v1.0.0"]

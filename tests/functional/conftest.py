"""A clone of this repository, as a user would have it, with parameters small enough to run."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from filelock import FileLock

from facemodels.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent

# conf/profile/smoke.yaml: everything at the smallest size that still goes through all code.
SMOKE = "profile=smoke"
KEPT = "landmark-dlib"  # is quick to train, without torch
BESIDE = "recognition-arcface"  # a model beside it
_LARGE = 1 << 20
# What was built here, and the tests of the code: a package's own suite is in tests/model_tests.
_LEFT_OUT = ("reports/", "dvc.lock", "models/", "tests/functional/", "tests/unit/")


class Clone:
    """A working copy with commands run in it as in a shell."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def _environment(self) -> dict[str, str]:
        path = f"{BIN}:{os.environ['PATH']}"
        return {"PATH": path, "PYTHONPATH": str(self.folder / "src")}

    def run(
        self, *command: str, check: bool = True, timeout_s: float = 1400, **env: str
    ) -> subprocess.CompletedProcess:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**os.environ, **self._environment, **env},
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{command} gave {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def ours(self, *words: str, code: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
        """`facemodels …` in this process, which has imported what that needs: a second less."""
        with pytest.MonkeyPatch.context() as patch, contextlib.chdir(self.folder):
            for name, value in {**self._environment, **env}.items():
                patch.setenv(name, value)
            done = CliRunner().invoke(main, words)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == code, f"{words} gave {done.exit_code}:\n{done.output}"
        return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)

    def compose(self, **changes: str) -> None:
        """Write params.yaml from conf/ in the profile `smoke`, with further values."""
        further = (f"++{key}={value}" for key, value in changes.items())
        self.ours("params", SMOKE, *further)

    def commit(self, message: str) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", message)

    def read(self, path: str) -> str:
        return (self.folder / path).read_text(encoding="utf-8")


def make_clone(folder: Path) -> Clone:
    """The files that Git would give, uncommitted edits included, without any output."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        source, target = ROOT / name, folder / name
        if source.is_file() and not name.startswith(_LEFT_OUT):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    clone = Clone(folder)
    clone.run("git", "init", "--quiet", "--initial-branch", "main")
    clone.compose()
    clone.commit("Start")
    return clone


def stages_run(output: str) -> list[str]:
    """The stages that `dvc repro` ran, in order, by what it printed."""
    return re.findall(r"Running stage '([^']+)'", output)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of a test run have in common."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


@pytest.fixture(scope="session")
def built(shared: Path) -> Clone:
    """A clone in which `dvc repro` has run through; tests that change it take a copy.

    The first worker that asks builds it, the others wait for it.
    """
    folder, done = shared / "built", shared / "built-done"
    with FileLock(shared / "built.lock"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            clone = make_clone(folder / "repo")
            clone.run("dvc", "repro")
            clone.commit("Build")
            clone.run("git", "repack", "-adq")  # a copy takes ten files instead of 1,500
            done.touch()
    return Clone(folder / "repo")


def copy_clone(source: Path, target: Path) -> None:
    """Copy a clone with the least of work.

    Hard links stand for what is never written into: objects of Git and of DVC, and large files,
    which stages write anew.
    """

    def copy(one: str, to: str) -> None:
        objects = "/files/md5/" in one or "/.git/objects/" in one
        (os.link if objects or Path(one).stat().st_size > _LARGE else shutil.copy2)(one, to)

    shutil.copytree(source, target, symlinks=True, copy_function=copy)


def edit_profile(clone: Clone, edit: Callable[[dict], object]) -> None:
    """Change the values of the profile `smoke`."""
    path = clone.folder / "conf/profile/smoke.yaml"
    head, _, body = path.read_text().partition("\n")
    tree = yaml.safe_load(body)
    edit(tree)
    path.write_text(f"{head}\n{yaml.safe_dump(tree)}")


def trim(clone: Clone) -> None:
    """Keep two of the built models without any system, and the comparison of one of them."""
    dropped = sorted(set(yaml.safe_load(clone.read("params.yaml"))["models"]) - {KEPT, BESIDE})
    config = clone.read("conf/config.yaml")
    for name in dropped:
        config = config.replace(f"      - {name}\n", "")
    config = re.sub(r"  - bundle:.*\n(?:      - .*\n)+", "", config)
    (clone.folder / "conf/config.yaml").write_text(config)
    edit_profile(clone, lambda tree: [tree["models"].pop(name) for name in dropped])
    edit_profile(clone, lambda tree: tree.pop("systems"))
    pipeline = yaml.safe_load(clone.read("dvc.yaml"))
    of_systems = ("system", "gate_system", "bundle", "benchmark_system")
    for stage in of_systems:
        del pipeline["stages"][stage]
    pipeline["stages"]["compare"]["foreach"] = {"landmarks": {}}
    pipeline["plots"] = [
        plot
        for plot in pipeline["plots"]
        if not any(name in str(plot) for name in (*dropped, "system-"))
    ]
    pipeline["artifacts"] = {name: pipeline["artifacts"][name] for name in (KEPT, BESIDE)}
    lock = yaml.safe_load(clone.read("dvc.lock"))
    gone = {"compare@detection", "compare@recognition", "compare@system"}
    lock["stages"] = {
        stage: entry
        for stage, entry in lock["stages"].items()
        if stage.partition("@")[2] not in dropped
        and stage not in gone
        and stage.partition("@")[0] not in of_systems
    }
    for path, content in (("dvc.yaml", pipeline), ("dvc.lock", lock)):
        (clone.folder / path).write_text(yaml.safe_dump(content, sort_keys=False))
    for task in ("detection", "system"):
        shutil.rmtree(clone.folder / "models" / task)
    for name in dropped:
        shutil.rmtree(clone.folder / "build" / name)
    clone.compose()
    clone.run("dvc", "repro", "code")  # no lists for stages that are gone
    clone.commit("Keep two models")


@pytest.fixture(scope="session")
def trimmed(shared: Path, built: Clone) -> Clone:
    """The built clone with two models: each command of DVC reads the whole of dvc.lock."""
    folder, done = shared / "trimmed", shared / "trimmed-done"
    with FileLock(shared / "trimmed.lock"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            copy_clone(built.folder, folder / "repo")
            trim(Clone(folder / "repo"))
            done.touch()
    return Clone(folder / "repo")


@pytest.fixture
def small(trimmed: Clone, tmp_path: Path) -> Clone:
    """A private copy of the built clone with two models."""
    copy_clone(trimmed.folder, tmp_path / "repo")
    return Clone(tmp_path / "repo")


@pytest.fixture
def copy(built: Clone, tmp_path: Path) -> Clone:
    """A private copy of the built clone, outputs and cache included."""
    copy_clone(built.folder, tmp_path / "repo")
    return Clone(tmp_path / "repo")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """DVC, in our process, uses what pygtrie has deprecated."""
    for item in items:
        if "/functional/" in item.path.as_posix():
            item.add_marker(pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning"))

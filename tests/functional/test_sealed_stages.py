"""What DVC believes and a sealed stage does not, in a real repository.

Each case is one stage of a pipeline that runs twice: plain, where DVC records every stage and finds
it up to date, and sealed, where each fails, names the file, and leaves nothing that DVC would
record.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from contextlib import chdir, suppress
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from facemodels.dvc_files import dvc_repository
from facemodels.sealing.lock import unproven_stages

# `also` is what the stage does beside its work, `meanwhile` what someone else does at that time.
STAGE = """
import multiprocessing, os, subprocess, sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from pathlib import Path
import yaml
from facemodels.sealing.run import sealed

def work(here):
    text = "".join(path.read_text() for path in sorted((here / "raw").glob("*.txt")))
    text += (here / "linked.txt").read_text()
    Path(".git").read_text()  # as Git's own tools do, where it is a file
    case = yaml.safe_load(Path("params.yaml").read_text())["cases"][here.name]
    os.chdir(here)
    exec(case["also"])
    subprocess.run(case["meanwhile"], shell=True, check=True)
    Path("out").mkdir()
    for part in range(20):
        Path("out", f"{part}.txt").write_text(text)
    os.chdir("..")

if __name__ == "__main__":
    with nullcontext() if "PLAIN" in os.environ else sealed(sys.argv):
        work(Path(sys.argv[0]).parent)
"""
PIPELINE = """
stages:
  make:
    foreach: ${cases}
    do:
      cmd: python ${key}/stage.py
      params:
        - cases.${key}
      deps:
        - ${key}/raw
        - ${key}/stage.py
        - ${key}/linked.txt
        - ${key}/link.txt
      outs:
        - ${key}/out
        - reports/sealed/make/${key}.json:
            cache: false
"""
FILES = {
    "stage.py": STAGE,
    "raw/a.txt": "a\n",
    "raw/b.txt": "b\n",
    **{f"other/{name}.txt": f"{name}\n" for name in ("extra", "child", "worker", "fork", "old")},
    "other/helper.py": "VALUE = 1\n",
    "elsewhere/linked.txt": "linked\n",
    "elsewhere/deep.txt": "deep\n",
}


# What is done, in Python by the stage or in the shell by someone else, and what is said of it.
Deeds = dict[str, tuple[str, str]]
MEANWHILE: Deeds = {
    "a dep is edited": ("echo new > raw/a.txt", "meanwhile/raw/a.txt, on which it depends, was"),
    "the script is edited": ("echo '# x' >> stage.py", "meanwhile/stage.py, on which"),
    "a parameter is edited": ("sed -i s/5e-05/6e-05/ ../params.yaml", "params.yaml: cases.mean"),
    "a file is added": ("echo c > raw/c.txt", "meanwhile/raw/c.txt came into"),
    "a file is removed": ("rm raw/b.txt", "meanwhile/raw/b.txt, on which it depends, was removed"),
    "the target of a link is edited": ("echo x > elsewhere/linked.txt", "meanwhile/linked.txt, on"),
    "a link leads elsewhere": ("ln -sfn other/extra.txt link.txt", "meanwhile/link.txt, on"),
}
UNDECLARED: Deeds = {
    "a file is read": ("open('other/extra.txt')", "read undeclared/other/extra.txt"),
    "a module is imported": (
        "sys.path.append(os.path.abspath('other')); import helper",
        "imported undeclared/other/helper.py",
    ),
    "a folder behind a link is read": ("open('raw/deep/deep.txt')", "undeclared/raw/deep/deep.txt"),
    "a child reads a file": (
        "subprocess.run([sys.executable, '-c', 'import facemodels; open(\"other/child.txt\")'])",
        "read undeclared/other/child.txt",
    ),
    "a worker reads a file": (
        "ProcessPoolExecutor(1, multiprocessing.get_context('spawn'))"
        ".submit(Path.read_text, Path('other/worker.txt').absolute()).result()",
        "read undeclared/other/worker.txt",
    ),
    "a forked worker reads a file": (
        "pid = os.fork()\nif not pid: open('other/fork.txt'); os._exit(0)\nos.waitpid(pid, 0)",
        "read undeclared/other/fork.txt",
    ),
    "a file is written": ("Path('notes.txt').touch()", "wrote undeclared/notes.txt"),
    "a file is removed": ("Path('other/old.txt').unlink()", "removed undeclared/other/old.txt"),
}
CASES = {
    "meanwhile": {"also": "", "meanwhile": " && ".join(deed for deed, _ in MEANWHILE.values())},
    "undeclared": {
        "also": "\n".join(deed for deed, _ in UNDECLARED.values()),
        "meanwhile": ":",
    },
}


def build(root: Path, cases: dict[str, dict[str, str]]) -> Path:
    """A repository with a folder and a stage for each case."""
    for name in cases:
        for path, text in FILES.items():
            file = root / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        for link in ("linked.txt", "link.txt"):
            (root / name / link).symlink_to("elsewhere/linked.txt")
        (root / name / "raw/deep").symlink_to("../elsewhere", target_is_directory=True)
    values = {name: {**case, "rate": 5e-05} for name, case in cases.items()}
    (root / "params.yaml").write_text(yaml.safe_dump({"cases": values}))
    (root / "dvc.yaml").write_text(PIPELINE)
    (root / ".dvcignore").write_text("__pycache__\n.cache\n")
    (root / ".gitignore").write_text(".cache\n")
    git = root.with_name(f"{root.name}.git")  # outside, as in a tree of `git worktree`
    subprocess.run(("git", "init", "--quiet", f"--separate-git-dir={git}", str(root)), check=True)
    (root / ".dvc/tmp").mkdir(parents=True)
    (root / ".dvc/config").touch()
    return root


def repro(root: Path, **env: str) -> str:
    """Run every stage; what they print on stderr."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = (sys.executable, "-m", "dvc", "repro", "--quiet", "--keep-going")
    return subprocess.run(
        command, cwd=root, env={**os.environ, "PATH": path, **env},
        capture_output=True, text=True, check=False,
    ).stderr  # fmt: skip


def outdated(root: Path) -> set[str]:
    """The stages that DVC would run again."""
    with chdir(root), dvc_repository(root) as repo:
        return set(repo.status())


@pytest.fixture(scope="module")
def believed(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The stages that DVC finds up to date after it ran them unsealed."""
    root = build(tmp_path_factory.mktemp("plain"), CASES)
    for name in CASES:  # makes what else a seal makes
        file = root / name / "stage.py"
        file.write_text(file.read_text() + f"    Path('reports/sealed/make/{name}.json').touch()\n")
    (root / "reports/sealed/make").mkdir(parents=True)
    repro(root, PLAIN="1")
    return {f"make@{name}" for name in CASES} - outdated(root)


class Refused(NamedTuple):
    """The repository after the stages ran sealed, and what each said."""

    root: Path
    said: dict[str, str]
    outdated: set[str]


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Refused:
    root = build(tmp_path_factory.mktemp("sealed"), CASES)
    errors = repro(root).split("stage make@")[1:]
    return Refused(root, {text.partition(" ")[0]: text for text in errors}, outdated(root))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        pytest.param(name, said, id=f"{name}: {deed}")
        for name, deeds in (("meanwhile", MEANWHILE), ("undeclared", UNDECLARED))
        for deed, (_, said) in deeds.items()
    ],
)
def test_dvc_believes_it_and_a_sealed_stage_names_it(
    name: str, said: str, believed: set[str], refused: Refused
) -> None:
    assert f"make@{name}" in believed
    assert f"make@{name}" in refused.outdated
    assert said in refused.said[name]


@pytest.mark.parametrize("name", CASES)
def test_a_refused_stage_leaves_nothing_that_dvc_would_record(name: str, refused: Refused) -> None:
    deeds = {"meanwhile": MEANWHILE, "undeclared": UNDECLARED}[name]
    assert refused.said[name].count("\n  - ") == len(deeds)  # and names nothing else
    assert not (refused.root / name / "out").exists()
    assert not (refused.root / f"reports/sealed/make/{name}.json").exists()
    kept = refused.root / ".cache/sealed/refused" / f"make@{name}" / name / "out"
    assert len(list(kept.iterdir())) == 20


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository after a stage did what it declares."""
    root = build(tmp_path_factory.mktemp("built"), {"good": {"also": "", "meanwhile": ":"}})
    assert repro(root) == ""
    return root


def test_dvc_lock_agrees_with_the_record_of_a_run_until_someone_forges_it(built: Path) -> None:
    assert unproven_stages(built) == []
    assert outdated(built) == set()
    (built / "good/out/0.txt").write_text("forged\n")
    (built / "good/raw/a.txt").write_text("another\n")
    commit(built)
    assert outdated(built) == set()
    found = unproven_stages(built)
    assert [one.stage for one in found] == ["make@good"] * 2
    assert "good/out is " in found[0].reason
    assert "the dependencies" in found[1].reason


def commit(root: Path) -> None:
    """Let DVC record what lies there."""
    with chdir(root), dvc_repository(root) as repo:
        repo.commit(force=True)


@pytest.mark.parametrize("points", [2, pytest.param(10, marks=pytest.mark.full)])
def test_what_a_killed_stage_left_is_never_taken_for_a_run(built: Path, points: int) -> None:
    chance = random.Random(points)
    record = built / "reports/sealed/make/good.json"
    for _ in range(points):
        shutil.rmtree(built / "good/out", ignore_errors=True)  # DVC does so before it runs a stage
        record.unlink(missing_ok=True)
        process = subprocess.Popen((sys.executable, "good/stage.py"), cwd=built)
        with suppress(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0.05, 0.4))
        process.kill()
        process.wait()
        ended = record.exists()
        record.touch()
        (built / "good/out").mkdir(exist_ok=True)
        commit(built)
        assert bool(unproven_stages(built)) != ended

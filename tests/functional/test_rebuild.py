"""Two builds of one commit, in two clones without any output, give one lock file."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from .conftest import Clone, make_clone, stages_run

pytestmark = pytest.mark.timeout(1500)


@pytest.fixture
def other(git_home: None, tmp_path: Path) -> tuple[Clone, list[str]]:
    """A second clone in which all packages were built, and the stages that ran."""
    clone = make_clone(tmp_path / "other")
    values = yaml.safe_load(clone.read("params.yaml"))
    packages = [f"package@{name}" for name in values["models"]]
    done = clone.run("dvc", "repro", *packages, *(f"bundle@{name}" for name in values["systems"]))
    return clone, stages_run(done.stdout)


def test_a_fresh_clone_builds_the_committed_lock_file_again(
    other: tuple[Clone, list[str]], request: pytest.FixtureRequest
) -> None:
    clone, ran = other
    # Asked for last (as an argument it would come first, for its scope is the session): while
    # one worker builds this one, another builds `other`.
    built: Clone = request.getfixturevalue("built")
    # The suites ran on equal packages once: in `built`. Their outcomes are inputs of compare.
    shutil.copytree(built.folder / "reports/suite", clone.folder / "reports/suite")
    tasks = yaml.safe_load(clone.read("params.yaml"))["data"]
    ran += stages_run(
        clone.run("dvc", "repro", "--single-item", *(f"compare@{task}" for task in tasks)).stdout
    )
    again, first = (yaml.safe_load(one.read("dvc.lock"))["stages"] for one in (clone, built))
    assert sorted(ran) == sorted(again)  # nothing came from a cache or from Git
    assert {name.partition("@")[0] for name in set(first) - set(again)} == {
        "benchmark", "benchmark_system",
    }  # fmt: skip
    assert again == {name: first[name] for name in again}
    assert built.run("git", "diff", "HEAD", "--name-only", "dvc.lock").stdout == ""

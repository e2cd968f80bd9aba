"""Two builds of one commit, in two clones without any output, give one lock file."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from .conftest import Clone, make_clone, stages_run

pytestmark = pytest.mark.timeout(1500)


@pytest.fixture
def other(git_home: None, tmp_path: Path) -> tuple[Clone, list[str]]:
    """A second clone that was built, and the stages that ran.

    It is asked for before `built`: while one worker builds that one, another builds this.
    """
    clone = make_clone(tmp_path / "other")
    return clone, stages_run(clone.run("dvc", "repro").stdout)


def test_a_fresh_clone_builds_the_committed_lock_file_byte_for_byte(
    other: tuple[Clone, list[str]], built: Clone
) -> None:
    clone, ran = other
    models = yaml.safe_load(clone.read("params.yaml"))["models"]
    stages = 4 * len(models) + 2 * 3  # prepare and compare: one a task
    assert len(ran) == stages  # nothing came from a cache or from Git
    assert clone.read("dvc.lock") == built.read("dvc.lock")
    assert built.run("git", "diff", "HEAD", "--name-only", "dvc.lock").stdout == ""

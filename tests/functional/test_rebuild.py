"""Two builds of one commit, in two clones without any output, give one lock file."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from .conftest import Clone, make_clone, stages_run

pytestmark = pytest.mark.timeout(1500)


# A landmark predictor of dlib's and a network of torch's; the whole of conf in the full suite.
SOME = ("landmark-dlib", "recognition-arcface")


@pytest.fixture
def other(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Clone, list[str]]:
    """A second clone in which packages were built, and the stages that ran."""
    clone = make_clone(tmp_path / "other")
    values = yaml.safe_load(clone.read("params.yaml"))
    packages = [f"package@{name}" for name in request.param or values["models"]]
    if not request.param:
        packages += [f"bundle@{name}" for name in values["systems"]]
    return clone, stages_run(clone.run("dvc", "repro", *packages).stdout)


@pytest.mark.full  # test_portable.py holds one build against committed digests
@pytest.mark.parametrize(
    "other",
    [pytest.param(SOME, id="some"), pytest.param((), id="all")],
    indirect=True,
)
def test_a_fresh_clone_builds_the_committed_lock_file_again(
    other: tuple[Clone, list[str]], request: pytest.FixtureRequest
) -> None:
    clone, ran = other
    # Asked for last (as an argument it would come first, for its scope is the session): while
    # one worker builds this one, another builds `other`.
    built: Clone = request.getfixturevalue("built")
    # The suites ran on equal packages once: in `built`. Their outcomes are inputs of compare.
    shutil.copytree(built.folder / "reports/suite", clone.folder / "reports/suite")
    again, first = (yaml.safe_load(one.read("dvc.lock"))["stages"] for one in (clone, built))
    tasks = {name.partition("@")[2] for name in again if name.startswith("prepare@")}
    if "detection" in tasks:  # every model of every task was built
        compared = [f"compare@{task}" for task in tasks]
        ran += stages_run(clone.run("dvc", "repro", "--single-item", *compared).stdout)
        again = yaml.safe_load(clone.read("dvc.lock"))["stages"]
        assert {name.partition("@")[0] for name in set(first) - set(again)} == {
            "benchmark", "benchmark_system",
        }  # fmt: skip
    assert sorted(ran) == sorted(again)  # nothing came from a cache or from Git
    assert again == {name: first[name] for name in again}
    assert built.run("git", "diff", "HEAD", "--name-only", "dvc.lock").stdout == ""

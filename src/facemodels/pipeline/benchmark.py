"""Benchmark: the suite a package must pass, then its speed and memory."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree  # our own pytest wrote the file

from facemodels.errors import FacemodelsError, InputError
from facemodels.evaluate import speed
from facemodels.package.load import Package
from facemodels.params import Benchmark
from facemodels.progress import progress

PACKAGE_VARIABLE = "FACEMODELS_PACKAGE"  # tells tests/model_tests/ which package to test


def run_suite(package: Package, suite: Path, scratch: Path) -> dict[str, str]:
    """Run a pytest suite against a package.

    pytest loads no plugins but pytest-timeout and those that the suite names in `pytest_plugins`:
    what else is installed must not decide what passes, and takes 2 s to load here.

    Args:
        package: what is tested.
        suite: folder of tests; they find the package in the variable FACEMODELS_PACKAGE.
        scratch: a folder for pytest's report.

    Returns:
        Outcome (`passed` or `skipped`) of each test, by name.

    Raises:
        InputError: the folder holds no tests.
        FacemodelsError: a test failed; its output is in the message.
    """
    if not suite.is_dir():
        raise InputError(f"{suite} is not a folder of tests.", "Use tests/model_tests/.")
    report = scratch / "suite.xml"
    command = [sys.executable, "-m", "pytest", str(suite), "-q", f"--junitxml={report}"]
    # The settings and conftest.py files of folders above are no part of the suite.
    alone = ["-c", os.devnull, f"--rootdir={suite}", f"--confcutdir={suite}"]
    timeout = ["-p", "pytest_timeout"] if find_spec("pytest_timeout") else []
    done = subprocess.run(
        [*command, *alone, "--import-mode=importlib", "-p", "no:cacheprovider", *timeout],
        env={
            **os.environ,
            "PYTEST_ADDOPTS": "",  # the user's own, for tests that are not these
            "PYTEST_PLUGINS": "",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONDONTWRITEBYTECODE": "1",  # the folder of the tests is the user's
            PACKAGE_VARIABLE: str(package.folder.resolve()),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    outcomes = _outcomes(report) if report.is_file() else {}
    if done.returncode != 0 or not outcomes:
        raise FacemodelsError(
            f"{package.id} failed the suite {suite}:\n{done.stdout[-4000:]}{done.stderr[-2000:]}",
            "A package that fails its suite must not be released.",
        )
    return outcomes


def _outcomes(report: Path) -> dict[str, str]:
    outcomes = {}
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314  our own file
        skipped = case.find("skipped") is not None
        outcomes[str(case.get("name"))] = "skipped" if skipped else "passed"
    return dict(sorted(outcomes.items()))


def measure(package: Package, settings: Benchmark) -> dict[str, Any]:
    """Speed, memory and size of a package in the runtimes that the settings name."""
    runtimes = package.runtimes if settings.runtimes == "all" else package.runtimes[:1]
    with progress(f"benchmark {package.id}", len(runtimes)) as advance:
        return speed.measure(
            package,
            runtimes,
            threads=settings.threads,
            warmup=settings.warmup,
            runs=settings.runs,
            batch_sizes=settings.batch_sizes,
            advance=advance,
        )

"""The examples in the packages' docstrings say what happens."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest


@pytest.mark.parametrize("package", ["alerts", "analysis", "metrics", "probes", "report"])
def test_the_example_of_a_package_runs(package: str) -> None:
    module = import_module(f"facemodels.monitoring.{package}")
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0

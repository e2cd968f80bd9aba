"""The formulas of benchmarks/verdict.py, which come from scipy, against those of the papers."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.special import gammaln
from scipy.stats import beta

from facemodels.monitoring.analysis.e_processes import BOLD, log_mean_exp

PATH = Path(__file__).resolve().parents[4] / "benchmarks" / "verdict.py"


@pytest.fixture(scope="module")
def verdict() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_of_the_verdict", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("hits", "of"), [(0, 10_000), (1, 10_000), (73, 10_000), (10_000, 10_000)])
def test_the_interval_is_clopper_and_pearsons(verdict: ModuleType, hits: int, of: int) -> None:
    low, high = verdict.interval(hits, of)
    assert low == pytest.approx(beta.ppf(0.025, hits, of - hits + 1) if hits else 0, abs=1e-12)
    assert high == pytest.approx(
        beta.ppf(0.975, hits + 1, of - hits) if hits < of else 1, abs=1e-12
    )


def test_sums_and_coefficients_are_those_of_the_plain_formulas(verdict: ModuleType) -> None:
    rng = np.random.default_rng(2)
    logs = rng.normal(0, 20, (50, 5))
    found = verdict._log_mean(logs, BOLD)
    assert found == pytest.approx([log_mean_exp(row.tolist(), BOLD) for row in logs], rel=1e-12)
    n, k = np.array([1, 5, 40, 400]), np.array([0, 2, 20, 77])
    plain = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    assert verdict._choose(n, k) == pytest.approx(plain, rel=1e-12)
    assert verdict._choose(n, k) == pytest.approx(
        [math.log(math.comb(*pair)) for pair in zip(n.tolist(), k.tolist(), strict=True)], rel=1e-12
    )

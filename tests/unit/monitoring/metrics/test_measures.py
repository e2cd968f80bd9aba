"""Quantiles against Prometheus itself; rates and cost by hand."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from facemodels.errors import InputError
from facemodels.monitoring.metrics.measures import cost_per_1000, quantile, success_rate, throughput
from facemodels.monitoring.metrics.windows import Tally

BOUNDS = (0.001, 0.01, 0.1, 0.5, 1.0)


def test_a_quantile_lies_within_its_bucket() -> None:
    tally = Tally(10, 0, (0.1, 0.2), (5, 5, 0))
    assert quantile(tally, 0.5) == pytest.approx(0.1)
    assert quantile(tally, 0.75) == pytest.approx(0.15)
    assert quantile(tally, 1.0) == pytest.approx(0.2)
    assert quantile(tally, 0.25) == pytest.approx(0.05)  # the first bucket starts at 0
    assert quantile(Tally(4, 0, (0.1, 0.2), (1, 0, 3)), 0.9) == 0.2  # nothing is known beyond
    assert quantile(Tally(0, 0, (0.1,), (0, 0)), 0.5) is None
    assert quantile(Tally(3, 3), 0.5) is None


@pytest.mark.parametrize("q", [0.0, -0.1, 1.1, float("nan")])
def test_a_quantile_outside_of_its_range_is_refused(q: float) -> None:
    with pytest.raises(InputError, match="quantile"):
        quantile(Tally(1, 0, (0.1,), (1, 0)), q)


@pytest.mark.skipif(not shutil.which("promtool"), reason="Debian's package prometheus is missing")
def test_quantiles_are_those_of_prometheus(tmp_path: Path) -> None:
    """histogram_quantile over 40 random histograms, and ours, to a billionth."""
    generator = random.Random(7)
    series, checks = [], []
    for case in range(40):
        counts = [generator.choice([0, 0, 1, 7, 300]) for _ in range(len(BOUNDS) + 1)]
        counts[generator.randrange(len(counts))] += 1
        up_to = 0
        for bound, count in zip([*BOUNDS, "+Inf"], counts, strict=True):
            up_to += count
            series.append({"series": f'h_bucket{{case="{case}",le="{bound}"}}', "values": up_to})
        tally = Tally(up_to, 0, BOUNDS, tuple(counts))
        for q in (0.01, 0.5, 0.95, 0.99, 1.0):
            ours = quantile(tally, q)
            difference = (
                f'abs(histogram_quantile({q}, h_bucket{{case="{case}"}}) - {ours!r}) < 1e-9'
            )
            checks.append(
                {
                    "expr": f"count({difference})",
                    "eval_time": "0s",
                    "exp_samples": [{"labels": "{}", "value": 1}],
                }
            )
    test = {"tests": [{"interval": "1s", "input_series": series, "promql_expr_test": checks}]}
    path = tmp_path / "quantiles.yml"
    path.write_text(yaml.safe_dump(test))
    done = subprocess.run(
        ["promtool", "test", "rules", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_rates_and_cost() -> None:
    tally = Tally(200, 10)
    assert success_rate(tally) == 0.95
    assert throughput(tally, 19) == 10
    assert success_rate(Tally(0, 0)) is None
    # Two servers at 1.80 an hour for half an hour answer 9,000: 20 for 100,000.
    assert cost_per_1000(1.8, 2, 1800, 9000) == pytest.approx(0.2)
    assert cost_per_1000(1.8, 2, 1800, 0) is None

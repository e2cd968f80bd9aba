from __future__ import annotations

from pathlib import Path

from facemodels.evaluate.speed import measure_served
from facemodels.package.load import open_package

GOLDEN = Path(__file__).resolve().parents[2] / "golden/dlib-v1.0.0"


def test_the_memory_of_a_package_is_not_that_of_the_process_that_measures_it() -> None:
    ballast = bytearray(b"x" * 600_000_000)
    measured = measure_served(open_package(GOLDEN), threads=1, warmup=1, runs=2)
    assert len(ballast) == 600_000_000
    assert 20 < measured["peak_rss_mb"] < 500

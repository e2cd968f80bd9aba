from __future__ import annotations

from facemodels.evaluate.comparison import Row, overall


def row(metric: str, verdict: str) -> Row:
    return Row(metric, 1.0, 1.0, 0.0, None, None, verdict)


def test_accuracy_decides_whatever_the_rest_says() -> None:
    rows = [
        row("accuracy", "worse"),
        row("latency_p50_ms", "better"),
        row("file_size_mb", "better"),
    ]
    assert overall(rows) == "worse"


def test_without_a_difference_in_accuracy_the_rest_decides_if_it_agrees() -> None:
    same = row("nme", "no difference shown")
    faster, larger = row("latency_p50_ms", "better"), row("file_size_mb", "worse")
    assert overall([same, faster]) == "better"
    assert overall([same, faster, larger]) == "no difference shown"
    assert overall([same]) == "no difference shown"

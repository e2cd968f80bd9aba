from __future__ import annotations

from math import comb

import numpy as np
import pytest

from facemodels.evaluate.comparison import Row, mcnemar, overall


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


def test_only_the_primary_metric_decides() -> None:
    other = Row("fnmr_at_fmr_1e-3", 0.1, 0.2, 0.1, 0.05, 0.15, "worse", primary=False)
    assert overall([row("accuracy", "no difference shown"), other]) == "no difference shown"
    assert overall([row("accuracy", "better"), other]) == "better"


@pytest.mark.parametrize(("one", "other"), [(0, 0), (3, 3), (2, 9), (30, 12), (0, 6)])
def test_mcnemar_is_the_binomial_tail_of_the_pairs_that_one_model_alone_judges_right(
    one: int, other: int
) -> None:
    first = np.repeat([True, False, True, False], [one, other, 50, 7])
    second = np.repeat([False, True, True, False], [one, other, 50, 7])
    n, k = one + other, min(one, other)
    tail = sum(comb(n, i) for i in range(k + 1)) / 2**n
    assert mcnemar(first, second) == pytest.approx(min(1.0, 2 * tail))
    assert mcnemar(second, first) == mcnemar(first, second)

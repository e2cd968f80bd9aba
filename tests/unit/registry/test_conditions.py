"""Filters on metrics: what they mean, and that nothing else is taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facemodels.errors import InputError
from facemodels.registry.conditions import MetricCondition

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(NUMBERS, NUMBERS)
def test_each_sign_means_what_it_says(value: float, bound: float) -> None:
    metrics = {"tar_at_far_0.001": value}
    meant = {
        ">=": value >= bound, "<=": value <= bound, ">": value > bound,
        "<": value < bound, "=": value == bound, "!=": value != bound,
    }  # fmt: skip
    for sign, expected in meant.items():
        for form in (f"tar_at_far_0.001{sign}{bound!r}", f" tar_at_far_0.001 {sign} {bound!r} "):
            assert MetricCondition.parse(form).holds(metrics) == expected


@pytest.mark.parametrize("value", [None, True, "0.99", [0.99]])
def test_a_version_without_the_number_meets_no_condition(value: object) -> None:
    for sign in (">=", "!="):
        assert not MetricCondition.parse(f"accuracy{sign}0").holds({"accuracy": value})
        assert not MetricCondition.parse(f"accuracy{sign}0").holds({})


@pytest.mark.parametrize("text", ["", "accuracy", ">=0.9", "accuracy>=", "a>=b", "a=>1", "a>=1 b"])
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is no condition"):
        MetricCondition.parse(text)

from __future__ import annotations

import pytest

from facemodels.errors import GateError, ParamsError
from facemodels.evaluate.gates import judge, require
from facemodels.params import Gate


def test_a_value_on_its_bound_passes_and_one_beyond_it_does_not() -> None:
    gates = {"auc": Gate(min=0.9), "nme": Gate(max=0.025)}
    require(judge({"auc": 0.9, "nme": 0.025}, gates), "m")
    with pytest.raises(GateError, match=r"auc 0\.8900 is not ≥ 0\.9"):
        require(judge({"auc": 0.89, "nme": 0.025}, gates), "m")


def test_nan_never_passes() -> None:
    with pytest.raises(GateError):
        require(judge({"auc": float("nan")}, {"auc": Gate(min=0.0)}), "m")


def test_a_gate_on_a_metric_that_is_not_measured_is_an_error_not_a_pass() -> None:
    with pytest.raises(ParamsError, match="acuracy"):
        judge({"accuracy": 0.9}, {"acuracy": Gate(min=0.5)})


def test_a_gate_may_have_two_bounds() -> None:
    rows = judge({"f1": 0.5}, {"f1": Gate(min=0.4, max=0.45)})
    assert [row.passed for row in rows] == [True, False]


def test_a_gate_without_a_bound_is_refused() -> None:
    with pytest.raises(ValueError, match="needs min or max"):
        Gate()


def test_a_gate_that_is_switched_off_judges_nothing() -> None:
    assert judge({"f1": 0.1}, {"f1": None}) == []

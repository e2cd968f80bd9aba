from __future__ import annotations

import math
from dataclasses import replace

import pytest

from facemodels.errors import DataError
from facemodels.evaluate.evaluation import Evaluation

SOUND = Evaluation({"nme": 0.1}, {"afw": {"nme": 0.2}}, {}, None, "nme", {})


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"metrics": {"nme": math.nan}}, "nme is nan"), ({"groups": {"afw": {"nme": math.inf}}}, "nme of afw is inf")],
)  # fmt: skip
def test_a_metric_that_is_not_finite_fails_its_stage(changes: dict, named: str) -> None:
    with pytest.raises(DataError, match=named):
        replace(SOUND, **changes)

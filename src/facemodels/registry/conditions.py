"""Conditions on the metrics of a version, as filters of a list take them: pure.

    accuracy>=0.95    the metric is there and is at least 0.95

A version that was not measured on a metric meets no condition on it.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from facemodels.errors import InputError

_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt,
    "!=": operator.ne, "==": operator.eq, "=": operator.eq,
}  # fmt: skip
_FORM = re.compile(r"\s*(?P<metric>[^\s<>=!]+)\s*(?P<sign>>=|<=|==|!=|>|<|=)\s*(?P<bound>\S+)\s*")


@dataclass(frozen=True)
class MetricCondition:
    """A condition on one metric.

    Attributes:
        metric: the name of the metric, such as `accuracy`.
        sign: one of `>= <= > < == = !=`.
        bound: the number that the metric is compared with.
    """

    metric: str
    sign: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> MetricCondition:
        """Read a condition such as `accuracy>=0.95`.

        Raises:
            InputError: the text is no condition.
        """
        match = _FORM.fullmatch(text)
        try:
            if match is not None:
                return cls(match["metric"], match["sign"], float(match["bound"]))
        except ValueError:
            pass
        raise InputError(f"{text!r} is no condition.", 'Write one such as "accuracy>=0.95".')

    def holds(self, metrics: Mapping[str, Any]) -> bool:
        """Whether a version with these metrics meets the condition."""
        value = metrics.get(self.metric)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return _COMPARE[self.sign](value, self.bound)

"""The result of evaluating a model, whatever its task."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemodels.errors import DataError

Rows = list[dict[str, float]]  # a curve: one mapping a point


@dataclass(frozen=True)
class Resampled:
    """A metric that can be measured on a resample, for its confidence interval.

    Attributes:
        score: the metric of a resample, given unit indices (K,), one drawn twice counting twice.
        units: how many units (images, pairs, faces, people) a resample draws from.
        higher_is_better: whether a higher value is.
        clusters: int (units,), units drawn together, or None where each stands alone.
    """

    score: Callable[[NDArray[np.intp]], float]
    units: int
    higher_is_better: bool
    clusters: NDArray[np.int32] | None = None


@dataclass(frozen=True)
class Evaluation:
    """Metrics of one model on one test split.

    Attributes:
        metrics: name → value, all finite, or the evaluation is refused.
        groups: group name → metric → value; empty where no face has a group.
        curves: name → points, for plots.
        threshold: the operating point chosen on the validation split, if the task has one.
        primary: the metric that candidates are compared by; `resampled` has it.
        resampled: the metrics that have a confidence interval.
        notes: what was left out of the metrics, and why, each a sentence.
        correct: bool (P,), which pairs of the test split were judged right, or None where the
            task has no pairs.
        stamp: what the figures were measured on and how, see `facemodels.evaluate.stamp`.

    Raises:
        DataError: a metric is NaN or infinite. No gate, comparison or card may stand on it.
    """

    metrics: Mapping[str, float]
    groups: Mapping[str, Mapping[str, float]]
    curves: Mapping[str, Rows]
    threshold: float | None
    primary: str
    resampled: Mapping[str, Resampled]
    notes: tuple[str, ...] = ()
    correct: NDArray[np.bool_] | None = None
    stamp: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        named = dict(self.metrics) | {
            f"{metric} of {group}": value
            for group, values in self.groups.items()
            for metric, value in values.items()
        }
        bad = [f"{name} is {value}" for name, value in named.items() if not math.isfinite(value)]
        if bad:
            raise DataError(
                f"The model or its test data give no figure: {', '.join(bad)}.",
                "Check that the test split is not empty (its report below reports/prepare/), and "
                "that the model's outputs are finite.",
            )

    def as_json(self) -> dict[str, Any]:
        """Return what metrics files hold; parts that are empty are absent."""
        values: dict[str, Any] = {"metrics": dict(self.metrics)}
        if self.groups:
            values["groups"] = {name: dict(group) for name, group in self.groups.items()}
        if self.threshold is not None:
            values["threshold"] = self.threshold
        if self.stamp:
            values["stamp"] = dict(self.stamp)
        if self.notes:
            values["notes"] = list(self.notes)
        return values

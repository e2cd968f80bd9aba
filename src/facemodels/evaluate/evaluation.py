"""The result of evaluating a model, whatever its task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = list[dict[str, float]]  # a curve: one mapping a point


@dataclass(frozen=True)
class Evaluation:
    """Metrics of one model on one test split.

    Attributes:
        metrics: name → value, all finite.
        groups: group name → metric → value; empty where no face has a group.
        curves: name → points, for plots.
        threshold: the operating point chosen on the validation split, if the task has one.
        primary: the metric that candidates are compared by.
        higher_is_better: of the primary metric.
        score: the primary metric of a resample, given unit indices (K,).
        units: how many units (images, pairs, faces) a resample draws from.
        clusters: int (units,), units drawn together, or None where each stands alone.
    """

    metrics: Mapping[str, float]
    groups: Mapping[str, Mapping[str, float]]
    curves: Mapping[str, Rows]
    threshold: float | None
    primary: str
    higher_is_better: bool
    score: Callable[[NDArray[np.intp]], float]
    units: int
    clusters: NDArray[np.int32] | None = None

    def as_json(self) -> dict[str, Any]:
        """Return what metrics files hold; `threshold` is absent where there is none."""
        values: dict[str, Any] = {"metrics": dict(self.metrics)}
        if self.groups:
            values["groups"] = {name: dict(group) for name, group in self.groups.items()}
        if self.threshold is not None:
            values["threshold"] = self.threshold
        return values

"""When a version is taken back without asking, from conf/rollback_triggers.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from facemodels.params import Frozen, load_yaml, parse

PATH = Path("conf", "rollback_triggers.yaml")
Ratio = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Triggers(Frozen):
    """The model guide's triggers, under its names.

    Attributes:
        error_rate_threshold: share of predictions that fail.
        latency_threshold_ms: of the 95th percentile of a prediction.
        memory_threshold_mb: of one server's resident memory, in 10⁶ bytes.
        accuracy_drop_threshold: below the version before, on the probes.
        monitoring_window_minutes: what is looked back upon.
    """

    error_rate_threshold: Ratio = 0.05
    latency_threshold_ms: Positive = 500
    memory_threshold_mb: Positive = 2000
    accuracy_drop_threshold: Ratio = 0.02
    monitoring_window_minutes: Positive = 30


class _File(Frozen):
    rollback_triggers: Triggers = Triggers()


def load(root: Path, path: Path | None = None) -> Triggers:
    """The triggers of a repository.

    Raises:
        ParamsError: the file is missing or does not fit the schema.
    """
    chosen = path or root / PATH
    return parse(_File, load_yaml(chosen), str(chosen)).rollback_triggers

"""What `facemodels monitor` shows while it runs, and what it leaves."""

from facemodels.monitoring.report.ab_test import (
    Arm,
    ArmComparison,
    ConfidenceInterval,
    compare_arms,
    wilson,
)
from facemodels.monitoring.report.durations import duration_text, parse_duration
from facemodels.monitoring.report.html import html
from facemodels.monitoring.report.observation import (
    Agreement,
    Curve,
    Observation,
    RolloutProgress,
    VersionFigures,
)
from facemodels.monitoring.report.text import markdown, table

__all__ = [
    "Agreement",
    "Arm",
    "ArmComparison",
    "ConfidenceInterval",
    "Curve",
    "Observation",
    "RolloutProgress",
    "VersionFigures",
    "compare_arms",
    "duration_text",
    "html",
    "markdown",
    "parse_duration",
    "table",
    "wilson",
]

"""What `facemodels monitor` shows while it runs, and what it leaves."""

from facemodels.monitoring.report.ab_test import Arm, Arms, Interval, arms, wilson
from facemodels.monitoring.report.durations import duration_text, parse_duration
from facemodels.monitoring.report.html import html
from facemodels.monitoring.report.markdown import markdown
from facemodels.monitoring.report.observation import Agreement, Observation, Progress, Seen, Series
from facemodels.monitoring.report.terminal import table

__all__ = [
    "Agreement",
    "Arm",
    "Arms",
    "Interval",
    "Observation",
    "Progress",
    "Seen",
    "Series",
    "arms",
    "duration_text",
    "html",
    "markdown",
    "parse_duration",
    "table",
    "wilson",
]

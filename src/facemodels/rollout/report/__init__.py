"""What `facemodels monitor` shows while it runs, and what it leaves."""

from facemodels.rollout.report.arms import Arm, Arms, Interval, arms, wilson
from facemodels.rollout.report.as_markdown import markdown
from facemodels.rollout.report.as_page import html
from facemodels.rollout.report.as_table import table
from facemodels.rollout.report.durations import duration_text, parse_duration
from facemodels.rollout.report.observation import Agreement, Observation, Progress, Seen, Series

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

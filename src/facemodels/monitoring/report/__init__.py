"""What `facemodels monitor` shows while it runs, and the report that it leaves.

observe      makes an observation from samples, served versions and the registry's events
following    looks again and again, also where the source of samples fails meanwhile
observation  what was observed: the input of everything below
ab_test      two versions compared, with confidence intervals
figures      the figures as text, the same in every form
text         the table for the terminal, and the Markdown report
html         the report as one HTML file (template: report.html.j2), with `plots` of the figures
durations    `24h`, `1h30m` and the like

Example:
    >>> parse_duration("1h30m")
    5400.0
    >>> found = share(99, 100)
    >>> round(found.low, 3), round(found.high, 3)
    (0.946, 0.998)
"""

from facemodels.monitoring.report.ab_test import (
    Arm,
    ArmComparison,
    ConfidenceInterval,
    compare_arms,
    share,
)
from facemodels.monitoring.report.durations import duration_text, parse_duration
from facemodels.monitoring.report.html import html
from facemodels.monitoring.report.observation import (
    Agreement,
    CountedShare,
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
    "CountedShare",
    "Curve",
    "Observation",
    "RolloutProgress",
    "VersionFigures",
    "compare_arms",
    "duration_text",
    "html",
    "markdown",
    "parse_duration",
    "share",
    "table",
]

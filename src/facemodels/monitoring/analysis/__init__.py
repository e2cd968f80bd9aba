"""Is the version on its way worse than the one beside it? A sequential test with stated errors.

`SequentialTest` takes windows one by one and answers "promote", "roll back" or "hold" after each;
`judge` does it for a stored list. `fired_triggers` holds one version alone to the triggers' file.
All of it is pure: no clock, no randomness; the same windows give the same answer. What is
assumed and what it was measured to do is in docs/verdict.md.
"""

from facemodels.monitoring.analysis.sequential_test import SequentialTest
from facemodels.monitoring.analysis.trigger_tests import FiredTrigger, fired_triggers
from facemodels.monitoring.analysis.verdict import Answer, MetricEvidence, Verdict

__all__ = [
    "Answer",
    "FiredTrigger",
    "MetricEvidence",
    "SequentialTest",
    "Verdict",
    "fired_triggers",
]

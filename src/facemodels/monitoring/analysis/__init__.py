"""Is the version on its way worse than the one beside it? A sequential test with stated errors.

`Evidence` takes windows one by one and answers "promote", "roll back" or "hold" after each;
`judge` does it for a stored list. `fired` holds one version alone to the triggers' file.
All of it is pure: no clock, no randomness; the same windows give the same answer. What is
assumed and what it was measured to do is in docs/verdict.md.
"""

from facemodels.monitoring.analysis.sequential_test import Evidence, judge
from facemodels.monitoring.analysis.trigger_tests import Fired, fired
from facemodels.monitoring.analysis.verdict import Answer, Metric, Verdict

__all__ = ["Answer", "Evidence", "Fired", "Metric", "Verdict", "fired", "judge"]

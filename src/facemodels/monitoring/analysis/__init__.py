"""Whether a rollout's version is worse than the one beside it: a sequential test, and triggers.

watch            assesses every model of an environment, from the samples
verdict          `decide`, the one function that says promote, roll back or hold
sequential_test  collects the evidence, window by window, with stated error probabilities
e_processes      the evidence itself: e-processes, which may be looked at after every window
trigger_tests    holds one version alone to conf/rollback_triggers.yaml

All but the watch is pure: no clock, no randomness; the same windows give the same answer.
docs/verdict.md has the hypotheses, what is assumed, and what was measured.

Example:
    >>> from facemodels.monitoring.metrics.windows import Tally, Window
    >>> from facemodels.monitoring.settings import VerdictSettings
    >>> test = SequentialTest(VerdictSettings(window_s=1.0))
    >>> for second in range(10):  # the canary fails in half of its requests
    ...     test.add(Window(second, second + 1, Tally(6, 3), Tally(44, 0)))
    >>> test.verdict().answer
    'roll back'
    >>> test.verdict().reasons
    ('worse in errors: 50.0% of 60 requests, 0.0% beside it',)
"""

from facemodels.monitoring.analysis.sequential_test import SequentialTest
from facemodels.monitoring.analysis.trigger_tests import FiredTrigger, fired_triggers
from facemodels.monitoring.analysis.verdict import Answer, MetricEvidence, Verdict, decide

__all__ = [
    "Answer", "FiredTrigger", "MetricEvidence", "SequentialTest", "Verdict", "decide",
    "fired_triggers",
]  # fmt: skip

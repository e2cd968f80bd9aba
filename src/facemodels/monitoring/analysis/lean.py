"""Which way the evidence on a rollout leans, and how long it still takes at its pace. Pure.

A forecast for people, which decides nothing: `verdict.decide` does. The logarithm of the evidence
grows about evenly with the windows as long as both versions go on as they do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from facemodels.monitoring.analysis.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Leaning:
    """Where the evidence would end if it went on as it does.

    Attributes:
        answer: the answer that it leans to.
        left_s: the seconds that it still takes.
    """

    answer: Literal["promote", "roll back"]
    left_s: float


def leaning(verdict: Verdict, elapsed_s: float) -> Leaning | None:
    """Where a verdict that holds would end; None without evidence, or where it does not hold.

    Args:
        verdict: the verdict so far.
        elapsed_s: how long the evidence was gathered.
    """
    if verdict.answer != "hold" or not verdict.metrics:
        return None
    # One metric suffices against a version, and all are needed for it.
    worse = max(one.worse / one.worse_needed for one in verdict.metrics)
    fit = min(one.fit / one.fit_needed for one in verdict.metrics)
    share = max(worse, fit)
    if share <= 0:
        return None
    left_s = max(0.0, elapsed_s * (1 / share - 1))
    return Leaning("roll back" if worse > fit else "promote", left_s)

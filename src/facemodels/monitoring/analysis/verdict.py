"""Where it is decided that a canary is promoted, rolled back or held: `decide`. Pure.

The sequential test hands over its evidence, `decide` gives the answer, and
`facemodels.deployment.controller.reaction` says what the controller does about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from facemodels.monitoring.analysis.trigger_tests import FiredTrigger

Answer = Literal["promote", "roll back", "hold"]


@dataclass(frozen=True, slots=True)
class MetricEvidence:
    """The evidence about one metric: the rate of errors, or one quantile of the latency.

    Attributes:
        name: `errors`, `latency p95`.
        canary: the share of the canary's requests that failed, or were slow, over the windows in
            which both versions had requests; None without such a window.
        stable: the same share of the stable version.
        requests: the number of the canary's requests that the share is of.
        windows: the number of pooled windows that `fit` rests on.
        worse: the logarithm of the evidence that the canary is worse, at its highest so far.
        worse_needed: the value of `worse` from which the canary is rolled back.
        fit: the logarithm of the present evidence that it is not worse by the margin.
        fit_needed: the value of `fit` from which this metric allows a promotion.
        bounds_s: for a latency, the bounds in seconds above which an answer counts as slow: the
            canary's and the stable version's, in the last window. They follow the stable version.
    """

    name: str
    canary: float | None
    stable: float | None
    requests: int
    windows: int
    worse: float
    worse_needed: float
    fit: float
    fit_needed: float
    bounds_s: tuple[float, float] | None = None

    @property
    def condemns(self) -> bool:
        """Whether the evidence suffices that the canary is worse."""
        return self.worse >= self.worse_needed

    @property
    def passes(self) -> bool:
        """Whether the evidence suffices that the canary is not worse by the margin."""
        return self.fit >= self.fit_needed

    @property
    def words(self) -> str:
        """For example `errors: 12.0 % of 25 requests, 0.4 % beside it`."""
        if self.canary is None or self.stable is None:
            return f"{self.name}: nothing to compare yet"
        failed, usual = ("requests", "") if self.bounds_s is None else (
            f"answers over {1000 * self.bounds_s[0]:g} ms",
            f" over {1000 * self.bounds_s[1]:g} ms",
        )  # fmt: skip
        return (
            f"{self.name}: {self.canary:.1%} of {self.requests} {failed}, "
            f"{self.stable:.1%}{usual} beside it"
        )

    def as_json(self) -> dict[str, Any]:
        """The evidence as the record of an event keeps it."""
        return {
            "name": self.name,
            "canary": self.canary,
            "stable": self.stable,
            "requests": self.requests,
            "windows": self.windows,
            "log_e_worse": round(self.worse, 4),
            "log_e_worse_needed": round(self.worse_needed, 4),
            "log_e_fit": round(self.fit, 4),
            "log_e_fit_needed": round(self.fit_needed, 4),
            **({"bounds_s": list(self.bounds_s)} if self.bounds_s else {}),
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer with its reasons.

    Attributes:
        answer: what the numbers say; `hold` means that the evidence does not suffice yet.
        reasons: sentences with numbers, for people.
        metrics: the evidence about each metric.
        alarm: whether an operator has to look, because the numbers of a version are lost.
        requests: the number of the canary's requests so far.
    """

    answer: Answer
    reasons: tuple[str, ...]
    metrics: tuple[MetricEvidence, ...] = ()
    alarm: bool = False
    requests: int = 0

    def as_json(self) -> dict[str, Any]:
        """The verdict as the record of an event keeps it."""
        return {
            "answer": self.answer,
            "reasons": list(self.reasons),
            "alarm": self.alarm,
            "requests": self.requests,
            "metrics": [metric.as_json() for metric in self.metrics],
        }


def decide(
    metrics: Sequence[MetricEvidence],
    *,
    fired: Sequence[FiredTrigger] = (),
    lost: Sequence[str] = (),
    silent: Sequence[str] = (),
    requests: int = 0,
) -> Verdict:
    """Decide whether the numbers say to promote, to roll back or to hold a version.

    This function holds the whole decision; nothing else in the library makes a verdict. The first
    rule that applies gives the answer:

    1. **Roll back** if the version fires a rollback trigger, or if any metric's evidence that it
       is worse suffices.
    2. **Hold**, with an alarm, if the numbers of a version are lost for longer than `silence_s`.
    3. **Hold** if a version had no numbers in the last window: what is unknown is no pass.
    4. **Promote** if every metric's evidence suffices that the canary is not worse by the margin.
    5. **Hold** otherwise: the evidence does not suffice yet.

    Lost numbers raise the alarm of a rollback too. A version in production has no metrics, as there
    is nothing to compare it with: it passes as long as no trigger fires.

    Args:
        metrics: the evidence about the rate of errors and each quantile of the latency.
        fired: the rollback triggers that the version fires by itself.
        lost: a sentence for each version whose numbers are lost.
        silent: a sentence for each version without numbers in the last window.
        requests: the number of the canary's requests so far.
    """
    kept = tuple(metrics)

    def verdict(answer: Answer, reasons: Sequence[str]) -> Verdict:
        return Verdict(answer, tuple(reasons), kept, alarm=bool(lost), requests=requests)

    condemned = [
        *(one.reason for one in fired),
        *(f"worse in {one.words}" for one in kept if one.condemns),
    ]
    if condemned:
        return verdict("roll back", condemned)
    if lost:
        return verdict("hold", lost)
    if silent:
        return verdict("hold", silent)
    undecided = [f"not enough evidence in {one.words}" for one in kept if not one.passes]
    if not undecided:
        return verdict("promote", [f"not worse in {one.words}" for one in kept])
    return verdict("hold", undecided)

"""What a verdict says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from facemodels.monitoring.analysis.trigger_tests import FiredTrigger

Answer = Literal["promote", "roll back", "hold"]


@dataclass(frozen=True, slots=True)
class MetricEvidence:
    """The evidence of one metric.

    Attributes:
        name: `errors`, `latency p95`.
        canary: share of the requests that failed, or were slow, where both versions had some.
        stable: likewise.
        requests: of the canary that the shares are of.
        windows: pooled ones that `fit` rests on.
        worse: logarithm of the evidence that the canary is worse; the highest it ever was.
        worse_needed: from which it is rolled back.
        fit: logarithm of the evidence that it is not worse by the margin; now.
        fit_needed: from which this metric lets it be promoted.
        bounds_s: of a latency, over which answers count: the canary's, the stable version's; in
            the last window, as they follow the stable version.
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
        """The canary is worse."""
        return self.worse >= self.worse_needed

    @property
    def passes(self) -> bool:
        """The canary is not worse by the margin."""
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
        """As a record keeps it."""
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
    """An answer and why.

    Attributes:
        answer: `hold` is not enough evidence yet.
        reasons: in words with numbers.
        metrics: the evidence.
        alarm: someone has to look: the numbers of a version are lost.
        requests: of the canary so far.
    """

    answer: Answer
    reasons: tuple[str, ...]
    metrics: tuple[MetricEvidence, ...] = ()
    alarm: bool = False
    requests: int = 0

    def after(self, fired: tuple[FiredTrigger, ...]) -> Verdict:
        """With the triggers that fired for the canary: any of them rolls back."""
        if not fired:
            return self
        others = self.reasons if self.answer == "roll back" else ()
        return replace(self, answer="roll back", reasons=(*(one.reason for one in fired), *others))

    def as_json(self) -> dict[str, Any]:
        """As a record keeps it."""
        return {
            "answer": self.answer,
            "reasons": list(self.reasons),
            "alarm": self.alarm,
            "requests": self.requests,
            "metrics": [metric.as_json() for metric in self.metrics],
        }

"""What was observed of a model's versions until some time: the input of the reports. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from facemodels.monitoring.analysis.lean import Leaning
from facemodels.monitoring.report.ab_test import ArmComparison, ConfidenceInterval


@dataclass(frozen=True)
class Curve:
    """A figure over time.

    Attributes:
        times: seconds since 1970, rising.
        values: a value for each time; None where the number was lost.
    """

    times: tuple[float, ...]
    values: tuple[float | None, ...]

    def __post_init__(self) -> None:
        if len(self.times) != len(self.values):
            raise ValueError(f"{len(self.times)} times with {len(self.values)} values")


@dataclass(frozen=True)
class CountedShare:
    """A share of what was counted, or said by users, with its 95 % interval.

    Attributes:
        interval: the share, 0 to 1.
        answers: the number that it is of.
    """

    interval: ConfidenceInterval
    answers: int


@dataclass(frozen=True)
class VersionFigures:
    """The figures of one version over the time that is observed; None if a figure is unknown.

    Attributes:
        model_id: for example `rec-facenet-v2.2.0`.
        role: `stable`, `warm`, `absent`, or the strategy of its rollout: `canary`, `shadow` …
        percent: its share of the requests; a shadow's share of the copies.
        requests: the number of requests that ended, without those that the client got wrong.
        error_rate: the share of the requests that failed, 0 to 1.
        success_rate: the share of the requests that were answered, 0 to 1.
        p50_ms: the median latency, from the complete request to the end of its answer.
        p95_ms: the 95th percentile of the latency.
        p99_ms: the 99th percentile of the latency.
        requests_per_s: the number of answered requests a second.
        memory_mb: the largest resident memory of a server, 10⁶ bytes.
        gpu_utilization: the highest load of a GPU, 0 to 1; None without a GPU.
        gpu_memory_mb: the largest memory on the GPUs of a server, 10⁶ bytes; None without a GPU.
        cost_per_1000: the cost of 1,000 inferences, in the currency of the price an hour.
        satisfaction: the mean score of users, 0 to 1, and the number of them; None without one.
        false_match: of the reported decisions on two people the share that called them one.
        false_non_match: of the reported decisions on one person the share that called it two.
        accuracy: the rates on the probes by name, as `probes.ReplayResult.rates`; None without
            probes.
        series: figures over time, by the name of the attribute above or of a rate.
    """

    model_id: str
    role: str
    percent: float
    requests: int
    error_rate: float | None = None
    success_rate: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    requests_per_s: float | None = None
    memory_mb: float | None = None
    gpu_utilization: float | None = None
    gpu_memory_mb: float | None = None
    cost_per_1000: float | None = None
    satisfaction: CountedShare | None = None
    false_match: CountedShare | None = None
    false_non_match: CountedShare | None = None
    accuracy: Mapping[str, float | None] | None = None
    series: Mapping[str, Curve] = field(default_factory=dict)


@dataclass(frozen=True)
class RolloutProgress:
    """The rollout that goes on, or else how the stable version came into its place.

    Attributes:
        strategy: `canary`, `ab` …; "" if no rollout goes on.
        percent: the share of the version that the rollout brings.
        since: when it began, seconds since 1970.
        by: who began it, as `Name <mail>`.
        reason: why.
    """

    strategy: str
    percent: float
    since: float
    by: str
    reason: str = ""


@dataclass(frozen=True)
class Agreement:
    """How far a shadow and the stable version agree on the probes.

    Attributes:
        compared: the number of probes that both answered.
        agreed: the number of these on which both are right or both are wrong.
    """

    compared: int
    agreed: int


@dataclass(frozen=True)
class Observation:
    """Everything that the table and the reports show.

    Attributes:
        model: for example `recognition-facenet`.
        model_id: the version that is observed.
        environment: `staging` or `production`.
        began: the start of the observation, seconds since 1970.
        now: the end of what was observed so far, seconds since 1970.
        until: when the observation is over, seconds since 1970.
        versions: the figures of each version, the observed one first.
        verdict: `answer`, `reasons` and `alarm`, as in `Verdict.as_json`; None without a verdict.
        rollout: the rollout that goes on; None if the environment does not serve the model.
        arms: for the strategy `ab`, the observed version against the other.
        agreement: for the strategy `shadow`.
        answered: of all requests at the router, whatever the model, the share that was answered.
        leaning: which way the evidence leans while the verdict holds; None if it does not.
        notes: further sentences, for example about what could not be read.
    """

    model: str
    model_id: str
    environment: str
    began: float
    now: float
    until: float
    versions: tuple[VersionFigures, ...]
    verdict: Mapping[str, Any] | None = None
    rollout: RolloutProgress | None = None
    arms: ArmComparison | None = None
    agreement: Agreement | None = None
    answered: CountedShare | None = None
    leaning: Leaning | None = None
    notes: tuple[str, ...] = ()

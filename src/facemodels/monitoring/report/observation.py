"""What was seen of a model's versions up to a moment: the input of table and report. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from facemodels.monitoring.report.ab_test import ArmComparison

NO_SOURCE = "no source"  # of users' satisfaction: nobody tells the system


@dataclass(frozen=True)
class Curve:
    """A figure over time.

    Attributes:
        times: seconds since 1970, rising.
        values: as many; None where the number was lost.
    """

    times: tuple[float, ...]
    values: tuple[float | None, ...]

    def __post_init__(self) -> None:
        if len(self.times) != len(self.values):
            raise ValueError(f"{len(self.times)} times with {len(self.values)} values")


@dataclass(frozen=True)
class VersionFigures:
    """What one version did over the time that is observed; None is not known.

    Attributes:
        model_id: for example `rec-facenet-v2.2.0`.
        role: `stable`, `canary`, `shadow` …
        percent: of the requests; of a shadow, of the copies.
        requests: that ended, the client's mistakes left out.
        error_rate: 0..1.
        success_rate: 0..1.
        p50_ms: of a prediction, from its complete request to its answer.
        p95_ms: likewise.
        p99_ms: likewise.
        requests_per_s: throughput.
        memory_mb: largest resident memory of a server, 10⁶ bytes.
        gpu_utilization: 0..1; None without a GPU.
        gpu_memory_mb: likewise.
        cost_per_1000: inferences, in the currency of the price an hour.
        accuracy: rates on the probes by name, as `probes.Result.rates`; None without probes.
        series: by the name of the attribute above, and `accuracy`.
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
    accuracy: Mapping[str, float | None] | None = None
    series: Mapping[str, Curve] = field(default_factory=dict)


@dataclass(frozen=True)
class RolloutProgress:
    """The rollout that is observed.

    Attributes:
        strategy: `canary`, `ab` …; `` if none is going on.
        percent: of the version on its way.
        since: seconds since 1970.
        by: `Name <mail>`.
        reason: why.
    """

    strategy: str
    percent: float
    since: float
    by: str
    reason: str = ""


@dataclass(frozen=True)
class Agreement:
    """Shadow: answers of two versions to one request.

    Attributes:
        compared: pairs of answers.
        agreed: pairs that say the same.
    """

    compared: int
    agreed: int


@dataclass(frozen=True)
class Observation:
    """Everything that table and report show.

    Attributes:
        model: for example `recognition-facenet`.
        model_id: the version that is watched.
        environment: `staging` or `production`.
        began: seconds since 1970.
        now: likewise; the end of what was seen.
        until: when the watch is over, likewise.
        versions: the watched one first.
        verdict: as `verdict.Verdict.as_json`: `answer`, `reasons`, `alarm`; None without a rollout.
        rollout: None without one.
        arms: of `ab`: the watched version against the other.
        agreement: of `shadow`.
        satisfaction: of users; None, as nothing tells it.
        notes: further sentences, for example what could not be read.
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
    satisfaction: float | None = None
    notes: tuple[str, ...] = ()

"""One reading of one server: the counters and gauges in the text of its /metrics. Pure."""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from facemodels.names import ModelId

STATUSES = ("success", "invalid", "rejected", "timeout", "error")
PREDICTIONS = "model_predictions_total"
REQUEST = "model_request_duration_seconds"
INFERENCE = "model_inference_duration_seconds"
MEMORY = "model_process_memory_bytes"
GPU_MEMORY = "model_gpu_memory_bytes"
GPU_LOAD = "model_gpu_utilization_ratio"
IN_FLIGHT = "model_requests_in_flight"
PROBE = "facemodels_probe_"  # and the name of a rate: a gauge of what the probes showed
LOST = "facemodels_lost_requests_total"  # of the controller: requests that died inside a server
SAMPLED = "facemodels_client_predictions_total"  # of a sample of one a client in 2 s
SAMPLED_REQUEST = "facemodels_client_request_duration_seconds"
CPU = "model_process_cpu_seconds_total"
SCORES = "facemodels_user_feedback_total"
SATISFACTION = "facemodels_user_satisfaction_ratio"
DECISIONS = "facemodels_reported_decisions_total"
NAMES = (
    PREDICTIONS, f"{REQUEST}_bucket", f"{REQUEST}_sum", f"{INFERENCE}_bucket", f"{INFERENCE}_sum",
    MEMORY, GPU_MEMORY, GPU_LOAD, IN_FLIGHT, CPU, SCORES, SATISFACTION, DECISIONS,
    SAMPLED, f"{SAMPLED_REQUEST}_bucket", f"{SAMPLED_REQUEST}_sum",
)  # fmt: skip


class Series(NamedTuple):
    """The labels that every series of a server has; they say which version the numbers are of.

    Attributes:
        model: for example `recognition-facenet`.
        version: for example `2.1.3`.
    """

    model: str
    version: str

    @classmethod
    def of(cls, model_id: str) -> Series:
        """The labels of a model id such as `rec-facenet-v2.1.3`; variants of a version share them.

        Raises:
            NameFormatError: the text is no model id.
        """
        parsed = ModelId.parse(model_id)
        return cls(str(parsed.name), str(parsed.version))


ROUTER = Series("router", "clients")  # what the routers answered to clients, whatever the model


@dataclass(frozen=True, slots=True)
class Histogram:
    """The counts of a Prometheus histogram, by bucket.

    Attributes:
        bounds: the upper bounds of the buckets, rising, without the infinite one.
        counts: the count of each bucket, not cumulated; one more than `bounds`.
        sum: the sum of all values.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float


NO_HISTOGRAM = Histogram((), (0,), 0.0)


class SideCounts(NamedTuple):
    """What is counted beside the requests, since the server's start; zero where it is not told.

    Attributes:
        cpu_s: the processor time of the server, seconds.
        scores: the number of answers that users judged.
        score_sum: the sum of their scores, 0 to 1 each.
        false_matches: decisions "the same person" that users reported as wrong.
        false_non_matches: decisions "other people" that they reported as wrong.
        true_matches: decisions "the same person" that they confirmed.
        true_non_matches: decisions "other people" that they confirmed.
    """

    cpu_s: float = 0.0
    scores: float = 0.0
    score_sum: float = 0.0
    false_matches: float = 0.0
    false_non_matches: float = 0.0
    true_matches: float = 0.0
    true_non_matches: float = 0.0

    def plus(self, other: SideCounts) -> SideCounts:
        """The sum of both."""
        return SideCounts(*(a + b for a, b in zip(self, other, strict=True)))

    def since(self, before: SideCounts) -> SideCounts:
        """What came since an earlier reading of the same process."""
        # A sum of scores is a mean times a number, so it may fall by a rounding.
        return SideCounts(*(max(0.0, b - a) for a, b in zip(before, self, strict=True)))


NOTHING_BESIDE = SideCounts()
_DECISIONS = {
    ("true", "wrong"): "false_matches", ("false", "wrong"): "false_non_matches",
    ("true", "right"): "true_matches", ("false", "right"): "true_non_matches",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reading:
    """The numbers of one server at one time; its counters count since the server's start.

    Attributes:
        statuses: the number of predictions by how they ended, in the order of `STATUSES`.
        latency: the durations of requests, seconds.
        inference: the durations of the model's runs, seconds.
        memory_bytes: the resident memory.
        in_flight: the number of predictions that are running or waiting.
        gpu_memory_bytes: the memory on all GPUs together; None without a GPU.
        gpu_load: the load of the busiest GPU, 0 to 1; None without a GPU.
        side: what is counted beside the requests.
        sampled: the statuses of a sample of one request a client, as `statuses`.
        sampled_latency: their durations; without bounds where the server keeps no sample.
    """

    statuses: tuple[int, ...]
    latency: Histogram
    inference: Histogram
    memory_bytes: float
    in_flight: float
    gpu_memory_bytes: float | None = None
    gpu_load: float | None = None
    side: SideCounts = NOTHING_BESIDE
    sampled: tuple[int, ...] = (0,) * len(STATUSES)
    sampled_latency: Histogram = NO_HISTOGRAM

    @property
    def total(self) -> int:
        """The sum of all counters; it falls only if the server was started again."""
        return sum(self.statuses) + sum(self.latency.counts) + sum(self.inference.counts)


Samples = Iterable[tuple[str, Mapping[str, str], float]]


def parse(text: str, series: Series) -> Reading:
    """Read the text of a server's /metrics.

    Args:
        text: the text, in Prometheus' format.
        series: the labels of the version that the numbers must be of.

    Raises:
        ValueError: the numbers are of another version, or one is missing.
    """
    # The parser takes 2 ms for a whole page, so lines that are not needed are left out before it,
    # and the one line that always changes is read by itself.
    kept = [line for line in text.splitlines() if line.startswith(NAMES)]
    used = sum(float(line.rpartition(" ")[2]) for line in kept if line.startswith(CPU))
    found = _parsed("".join(f"{line}\n" for line in kept if not line.startswith(CPU)), series)
    return replace(found, side=found.side._replace(cpu_s=used))


@functools.lru_cache(maxsize=64)  # the numbers of a server that nobody asks stay the same
def _parsed(lines: str, series: Series) -> Reading:
    return from_samples(
        (
            (sample.name, sample.labels, float(sample.value))
            for family in text_string_to_metric_families(lines)
            for sample in family.samples
        ),
        series,
    )


def from_samples(samples: Samples, series: Series) -> Reading:
    """Make a reading from samples, which have a name, labels and a value each.

    Raises:
        ValueError: the samples are of another version, one is missing, or a value is not finite.
    """
    values: dict[str, list[float]] = defaultdict(list)
    statuses: dict[str, int] = {}
    sampled = dict.fromkeys(STATUSES, 0)
    buckets: dict[str, dict[float, int]] = {REQUEST: {}, INFERENCE: {}, SAMPLED_REQUEST: {}}
    decisions: dict[str, float] = {}
    for name, labels, value in samples:
        whose = Series(labels.get("model_name", ""), labels.get("model_version", ""))
        if whose != series:
            raise ValueError(f"{whose.model} {whose.version} answers")
        if not math.isfinite(value):
            raise ValueError(f"{name} is {value}")
        if name == PREDICTIONS:
            statuses[labels["status"]] = int(value)
        elif name == SAMPLED:
            sampled[labels["status"]] = int(value)
        elif name == DECISIONS:
            decisions[_DECISIONS[labels["same_person"], labels["verdict"]]] = value
        elif name.endswith("_bucket"):
            buckets[name.removesuffix("_bucket")][float(labels["le"])] = int(value)
        else:
            values[name].append(value)
    missing = [status for status in STATUSES if status not in statuses]
    missing += [name for name in (MEMORY, IN_FLIGHT) if name not in values]
    if missing:
        raise ValueError(f"{', '.join(missing)} is not there")
    return Reading(
        statuses=tuple(statuses[status] for status in STATUSES),
        latency=_histogram(REQUEST, buckets[REQUEST], values),
        inference=_histogram(INFERENCE, buckets[INFERENCE], values),
        memory_bytes=values[MEMORY][0],
        in_flight=values[IN_FLIGHT][0],
        gpu_memory_bytes=sum(values[GPU_MEMORY]) if GPU_MEMORY in values else None,
        gpu_load=max(values[GPU_LOAD]) if GPU_LOAD in values else None,
        side=_side(values, decisions),
        sampled=tuple(sampled[status] for status in STATUSES),
        sampled_latency=_histogram(SAMPLED_REQUEST, buckets[SAMPLED_REQUEST], values)
        if buckets[SAMPLED_REQUEST]
        else NO_HISTOGRAM,
    )


def _side(values: Mapping[str, list[float]], decisions: Mapping[str, float]) -> SideCounts:
    scores = sum(values.get(SCORES, ()))
    mean = sum(values.get(SATISFACTION, ()))  # of one server, there is one
    return SideCounts(sum(values.get(CPU, ())), scores, scores * mean, **decisions)


def _histogram(
    name: str, cumulated: Mapping[float, int], values: Mapping[str, list[float]]
) -> Histogram:
    bounds = sorted(cumulated)
    if not bounds or bounds[-1] != math.inf or f"{name}_sum" not in values:
        raise ValueError(f"{name} is not whole")
    totals = [0, *(cumulated[bound] for bound in bounds)]
    counts = tuple(after - before for before, after in pairwise(totals))
    if min(counts) < 0:
        raise ValueError(f"{name} falls from bucket to bucket")
    return Histogram(tuple(bounds[:-1]), counts, values[f"{name}_sum"][0])

"""Quantiles, rates and the cost of what was counted. Pure."""

from __future__ import annotations

from itertools import accumulate

from facemodels.errors import InputError
from facemodels.monitoring.metrics.windows import Tally


def quantile(tally: Tally, q: float) -> float | None:
    """A quantile of the latency in seconds; None without answers.

    It is that of Prometheus' `histogram_quantile`: linear within the bucket that holds the rank,
    where the first bucket starts at 0; in the last bucket, which has no end, its start.

    Args:
        tally: the counts, with latencies.
        q: above 0, up to 1.

    Raises:
        InputError: `q` is out of range.
    """
    if not 0 < q <= 1:
        raise InputError(f"{q} is no quantile.", "Give a share above 0, up to 1.")
    if not tally.bounds or not tally.answers:
        return None
    rank = q * tally.answers
    up_to = list(accumulate(tally.latency))
    bucket = next((k for k, count in enumerate(up_to[:-1]) if count >= rank), len(tally.bounds))
    if bucket == len(tally.bounds):
        return tally.bounds[-1]
    start = tally.bounds[bucket - 1] if bucket else 0.0
    below = up_to[bucket - 1] if bucket else 0
    part = (rank - below) / tally.latency[bucket]
    return start + (tally.bounds[bucket] - start) * part


def success_rate(tally: Tally) -> float | None:
    """The share of the predictions that were answered, 0 to 1; None without predictions."""
    return 1 - tally.errors / tally.requests if tally.requests else None


def throughput(tally: Tally, seconds: float) -> float:
    """The number of answered predictions a second."""
    return (tally.requests - tally.errors) / seconds


def cost_per_1000(
    price_per_hour: float, instances: int, seconds: float, inferences: int
) -> float | None:
    """The cost of 1,000 inferences, in the currency of the price; None without inferences.

    Args:
        price_per_hour: the price of one server.
        instances: the number of servers that ran.
        seconds: how long they ran.
        inferences: the number of inferences that they answered.
    """
    if not inferences:
        return None
    return price_per_hour * instances * (seconds / 3600) / inferences * 1000


def cost_of_use_per_1000(
    per_core_hour: float, per_gpu_hour: float, cpu_s: float, gpu_s: float, inferences: int
) -> float | None:
    """The cost of 1,000 inferences by what they used; None without inferences.

    Args:
        per_core_hour: the price of one processor core for an hour.
        per_gpu_hour: the price of one GPU for an hour.
        cpu_s: the processor time that the servers used, seconds.
        gpu_s: the time in which the model ran on a GPU, seconds.
        inferences: the number of inferences that were answered.
    """
    if not inferences:
        return None
    return (per_core_hour * cpu_s + per_gpu_hour * gpu_s) / 3600 / inferences * 1000

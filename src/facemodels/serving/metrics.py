"""The metrics that the server gives to Prometheus.

`model_predictions_total` and `model_inference_duration_seconds` have the names of the model guide.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from typing import Any

import psutil
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from facemodels import __version__
from facemodels.serving.client_sample import ClientSample
from facemodels.serving.feedback import Feedback

_LABELS = ("model_name", "model_version")
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# The R10 numbers of ISO 3, from 0.5 ms to 16 s: a quantile is known to a quarter of its value.
REQUEST_SECONDS = tuple(
    round(step * 10.0**power, 6)
    for power in range(-4, 2)
    for step in (1.0, 1.25, 1.6, 2.0, 2.5, 3.15, 4.0, 5.0, 6.3, 8.0)
    if 0.0005 <= step * 10.0**power <= 16.0
)
_BYTES = tuple(4.0**power for power in range(5, 13))  # 1 KiB to 16 MiB
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
# `abandoned`: the client left, or did not send its body in time. It says nothing of the version.
STATUSES = ("success", "invalid", "abandoned", "rejected", "timeout", "error")


class Metrics:
    """The metrics of one model version, in a registry of their own.

    Args:
        name: the name of the model, for example `recognition-facenet`.
        version: its version, for example `2.1.3`.
        digest: the digest of the package.

    Attributes:
        registry: all metrics.
        request_size: a histogram of the sizes of bodies in bytes.
        feedback: what users say of answers.
        in_flight: a gauge of the predictions in work or waiting.
        clients: chooses the sample in which no client counts for many.
    """

    def __init__(self, name: str, version: str, digest: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the series
        self.registry = CollectorRegistry()
        self._own = (name, version)
        self._counted = 0
        self.feedback = Feedback(self._own, self.registry)
        # Every status has a series from the start: a rate needs one, even if it stays at zero.
        total = Counter(
            "model_predictions_total", "Predictions asked for, by how they ended",
            (*_LABELS, "status"), registry=self.registry,
        )  # fmt: skip
        self._total = {status: total.labels(*self._own, status) for status in STATUSES}
        probes = Counter(
            "model_probe_predictions_total", "Those of the golden set, which are no traffic",
            (*_LABELS, "status"), registry=self.registry,
        )  # fmt: skip
        self._probes = {status: probes.labels(*self._own, status) for status in STATUSES}
        self.clients = ClientSample()
        sampled = Counter(
            "facemodels_client_predictions_total", "Those of a sample of one a client in 2 s",
            (*_LABELS, "status"), registry=self.registry,
        )  # fmt: skip
        self._sampled = {status: sampled.labels(*self._own, status) for status in STATUSES}
        self._sampled_request = self._histogram(
            "facemodels_client_request_duration_seconds",
            "A prediction of a sample of one a client in 2 s", REQUEST_SECONDS,
        )  # fmt: skip
        self._duration = self._histogram(
            "model_inference_duration_seconds", "One run of the model", _SECONDS
        )
        self._queue = self._histogram(
            "model_queue_duration_seconds", "How long a run's first request had waited", _SECONDS
        )
        self._batch = self._histogram("model_batch_size", "Images in one run", _ROWS)
        self._request = self._histogram(
            "model_request_duration_seconds",
            "A prediction, from its complete request to the end of its answer",
            REQUEST_SECONDS,
        )
        self.request_size = self._histogram("model_request_size_bytes", "Body of a request", _BYTES)
        self.in_flight = Gauge(
            "model_requests_in_flight", "Predictions in work or waiting", _LABELS,
            registry=self.registry,
        ).labels(*self._own)  # fmt: skip
        Info("model_build", "What serves", _LABELS, registry=self.registry).labels(*self._own).info(
            {"facemodels": __version__, "python": platform.python_version(), "package": digest}
        )
        self.registry.register(_Process(self._own))
        devices = _gpus()
        if devices:
            self.registry.register(_Gpus(self._own, devices))

    def _histogram(self, name: str, text: str, buckets: Sequence[float]) -> Histogram:
        made = Histogram(name, text, _LABELS, buckets=buckets, registry=self.registry)
        return made.labels(*self._own)

    @property
    def counted(self) -> int:
        """How often something was counted or recorded, opinions of users included."""
        return self._counted + self.feedback.counted

    def count(self, status: str, *, probe: bool = False, sampled: bool = False) -> None:
        """Count a prediction.

        Args:
            status: how it ended, one of `STATUSES`.
            probe: whether it belongs to the golden set; such a one is counted apart.
            sampled: whether `clients` took it.
        """
        self._counted += 1
        (self._probes if probe else self._total)[status].inc()
        if sampled and not probe:
            self._sampled[status].inc()

    def answered(self, seconds: float, *, sampled: bool = False) -> None:
        """Record how long a prediction took.

        Args:
            seconds: the time from the complete request to the end of the answer.
            sampled: whether `clients` took it.
        """
        self._counted += 1
        self._request.observe(seconds)
        if sampled:
            self._sampled_request.observe(seconds)

    def ran(self, rows: int, took: float, waited: float) -> None:
        """Record one run of the model.

        Args:
            rows: the number of images.
            took: the time of the run in seconds.
            waited: the seconds that the first image had waited for the run.
        """
        self._counted += 1
        self._duration.observe(took)
        self._batch.observe(rows)
        self._queue.observe(waited)


class _Process(Collector):
    """The memory and the processor time of the process, read at every scrape."""

    def __init__(self, own: tuple[str, str]) -> None:
        self._own = own
        self._process = psutil.Process(os.getpid())

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(
            "model_process_memory_bytes", "Resident memory of the server", labels=_LABELS
        )
        family.add_metric(self._own, self._process.memory_info().rss)
        yield family
        times = self._process.cpu_times()
        used = CounterMetricFamily(
            "model_process_cpu_seconds", "Processor time of the server", labels=_LABELS
        )
        used.add_metric(self._own, times.user + times.system)
        yield used


class _Gpus(Collector):
    """The memory and load of every GPU of the machine, read at every scrape.

    Args:
        own: the values of the labels: the model's name and version.
        devices: NVML's handles of the GPUs.
    """

    def __init__(self, own: tuple[str, str], devices: Sequence[Any]) -> None:
        self._own = own
        self._devices = devices

    def collect(self) -> Iterable[Metric]:
        import pynvml

        labels = (*_LABELS, "gpu")
        memory = GaugeMetricFamily("model_gpu_memory_bytes", "Memory in use", labels=labels)
        load = GaugeMetricFamily(
            "model_gpu_utilization_ratio", "Share of time that the GPU is busy", labels=labels
        )
        for number, device in enumerate(self._devices):
            where = (*self._own, str(number))
            try:
                memory.add_metric(where, float(pynvml.nvmlDeviceGetMemoryInfo(device).used))
                busy = pynvml.nvmlDeviceGetUtilizationRates(device).gpu
                load.add_metric(where, float(busy) / 100)
            except pynvml.NVMLError:  # a slice of a GPU has no load; a GPU can fail
                continue
        yield memory
        yield load


def _gpus() -> list[Any]:
    """NVML's handles of the GPUs. They are looked up once: without a GPU each look takes long."""
    import pynvml

    try:
        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
        return [pynvml.nvmlDeviceGetHandleByIndex(number) for number in range(count)]
    except pynvml.NVMLError:
        return []

"""What the server tells Prometheus. The names of the first two are the model guide's."""

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
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from facemodels import __version__

_LABELS = ("model_name", "model_version")
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# ISO 3's R10 numbers, 0.5 ms to 16 s: a quantile is known within a quarter of itself.
_REQUEST_SECONDS = tuple(
    round(step * 10.0**power, 6)
    for power in range(-4, 2)
    for step in (1.0, 1.25, 1.6, 2.0, 2.5, 3.15, 4.0, 5.0, 6.3, 8.0)
    if 0.0005 <= step * 10.0**power <= 16.0
)
_BYTES = tuple(4.0**power for power in range(5, 13))  # 1 KiB to 16 MiB
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
STATUSES = ("success", "invalid", "rejected", "timeout", "error")


class Metrics:
    """The series of one model version, in a registry of their own.

    Args:
        name: for example `recognition-facenet`.
        version: for example `2.1.3`.
        digest: of the package.

    Attributes:
        registry: all of the series.
        request_size: histogram of the bytes of bodies.
        in_flight: gauge of the predictions in work or waiting.
    """

    def __init__(self, name: str, version: str, digest: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each
        self.registry = CollectorRegistry()
        self._own = (name, version)
        # A version that has not failed shows its zero: a rate over nothing is no rate.
        total = Counter(
            "model_predictions_total", "Predictions asked for, by how they ended",
            (*_LABELS, "status"), registry=self.registry,
        )  # fmt: skip
        self._total = {status: total.labels(*self._own, status) for status in STATUSES}
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
            _REQUEST_SECONDS,
        )
        self.request_size = self._histogram("model_request_size_bytes", "Body of a request", _BYTES)
        self.in_flight = Gauge(
            "model_requests_in_flight", "Predictions in work or waiting", _LABELS,
            registry=self.registry,
        ).labels(*self._own)  # fmt: skip
        Info("model_build", "What serves", _LABELS, registry=self.registry).labels(*self._own).info(
            {"facemodels": __version__, "python": platform.python_version(), "package": digest}
        )
        self.registry.register(_Memory(self._own))
        devices = _gpus()
        if devices:
            self.registry.register(_Gpus(self._own, devices))

    def _histogram(self, name: str, text: str, buckets: Sequence[float]) -> Histogram:
        made = Histogram(name, text, _LABELS, buckets=buckets, registry=self.registry)
        return made.labels(*self._own)

    def count(self, status: str) -> None:
        """One more prediction with this end, of `STATUSES`."""
        self._total[status].inc()

    def answered(self, seconds: float) -> None:
        """One more prediction took so long, from its complete request."""
        self._request.observe(seconds)

    def ran(self, rows: int, took: float, waited: float) -> None:
        """One run of the model: its images, its seconds, the seconds its first image waited."""
        self._duration.observe(took)
        self._batch.observe(rows)
        self._queue.observe(waited)


class _Memory(Collector):
    """Memory of the process, read at every scrape."""

    def __init__(self, own: tuple[str, str]) -> None:
        self._own = own
        self._process = psutil.Process(os.getpid())

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(
            "model_process_memory_bytes", "Resident memory of the server", labels=_LABELS
        )
        family.add_metric(self._own, self._process.memory_info().rss)
        yield family


class _Gpus(Collector):
    """Memory and load of every GPU of the machine, read at every scrape.

    Args:
        own: values of the labels.
        devices: NVML's handles.
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
            except pynvml.NVMLError:  # a slice of a GPU has no load of its own; a GPU may fall out
                continue
        yield memory
        yield load


def _gpus() -> list[Any]:
    """NVML's handles; looked for once, as a machine without a GPU pays for every look."""
    import pynvml

    try:
        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
        return [pynvml.nvmlDeviceGetHandleByIndex(number) for number in range(count)]
    except pynvml.NVMLError:
        return []

"""What the server tells Prometheus. The names of the first two are the model guide's."""

from __future__ import annotations

import os
import platform

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    disable_created_metrics,
)
from prometheus_client.registry import Collector

from facemodels import __version__

_LABELS = ("model_name", "model_version")
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_BYTES = tuple(4.0**power for power in range(5, 13))  # 1 KiB to 16 MiB
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
STATUSES = ("success", "invalid", "rejected", "timeout", "error")


class Metrics:
    """The series of one model version, in a registry of their own.

    Args:
        name: for example `recognition-facenet`.
        version: for example `2.1.3`.
        digest: of the package.
    """

    def __init__(self, name: str, version: str, digest: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each
        self.registry = CollectorRegistry()
        own = self.registry
        labels = (name, version)
        self.duration = Histogram(
            "model_inference_duration_seconds",
            "Model inference duration",
            _LABELS, buckets=_SECONDS, registry=own,
        ).labels(*labels)  # fmt: skip
        total = Counter(
            "model_predictions_total", "Total predictions made", (*_LABELS, "status"), registry=own
        )
        # A version that has not failed shows its zero: a rate over nothing is no rate.
        self._total = {status: total.labels(*labels, status) for status in STATUSES}
        self.queue = Histogram(
            "model_queue_duration_seconds", "Time a run's first request waited", _LABELS,
            buckets=_SECONDS, registry=own,
        ).labels(*labels)  # fmt: skip
        self.batch = Histogram(
            "model_batch_size", "Images in one run", _LABELS, buckets=_ROWS, registry=own
        ).labels(*labels)
        self.request_size = Histogram(
            "model_request_size_bytes", "Body of a request", _LABELS, buckets=_BYTES, registry=own
        ).labels(*labels)
        self.in_flight = Gauge(
            "model_requests_in_flight", "Requests in work or waiting", _LABELS, registry=own
        ).labels(*labels)
        Info("model_build", "What serves", _LABELS, registry=own).labels(*labels).info(
            {"facemodels": __version__, "python": platform.python_version(), "package": digest}
        )
        self.registry.register(_Process(labels))

    def count(self, status: str) -> None:
        """One more request with this end."""
        self._total[status].inc()

    def ran(self, rows: int, took: float, waited: float) -> None:
        """One run of the graph, as the batcher reports it."""
        self.duration.observe(took)
        self.batch.observe(rows)
        self.queue.observe(waited)


class _Process(Collector):
    """Memory of the process, and of the GPU where there is one, read at every scrape."""

    def __init__(self, labels: tuple[str, str]) -> None:
        import psutil

        self._process = psutil.Process(os.getpid())
        self._labels = labels

    def collect(self):  # type: ignore[no-untyped-def]  # the library's own base has no types
        from prometheus_client.core import GaugeMetricFamily

        values = {
            "model_process_memory_bytes": (
                "Resident memory", float(self._process.memory_info().rss)
            ),
            **_gpu(),
        }  # fmt: skip
        for name, (text, value) in values.items():
            family = GaugeMetricFamily(name, text, labels=_LABELS)
            family.add_metric(self._labels, value)
            yield family


def _gpu() -> dict[str, tuple[str, float]]:
    import pynvml

    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        rates = pynvml.nvmlDeviceGetUtilizationRates(handle)
    except pynvml.NVMLError:
        return {}
    return {
        "model_gpu_memory_bytes": ("Memory in use on the GPU", float(memory.used)),
        "model_gpu_utilization_ratio": ("Share of time the GPU is busy", float(rates.gpu) / 100),
    }

"""Series on a machine with GPUs and on one without."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pynvml
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from facemodels.serving.metrics import Metrics


def families(metrics: Metrics) -> dict[str, Any]:
    text = generate_latest(metrics.registry).decode()
    return {family.name: family.samples for family in text_string_to_metric_families(text)}


def without_gpu() -> None:
    raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)


def test_without_a_gpu_there_is_no_series_and_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: (looks.append(1), without_gpu()))
    metrics = Metrics("landmark-dlib", "1.0.0", "d")
    for _ in range(3):
        assert not [name for name in families(metrics) if "gpu" in name]
    assert len(looks) == 1


def test_every_gpu_has_its_memory_and_load(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(device: int) -> SimpleNamespace:
        if device == 1:  # a slice
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return SimpleNamespace(gpu=25)

    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 2)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda number: number)
    monkeypatch.setattr(
        pynvml, "nvmlDeviceGetMemoryInfo", lambda device: SimpleNamespace(used=1000 + device)
    )
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUtilizationRates", load)
    found = families(Metrics("landmark-dlib", "1.0.0", "d"))
    assert [(s.labels["gpu"], s.value) for s in found["model_gpu_memory_bytes"]] == [
        ("0", 1000), ("1", 1001),
    ]  # fmt: skip
    assert [(s.labels["gpu"], s.value) for s in found["model_gpu_utilization_ratio"]] == [
        ("0", 0.25)
    ]


def test_a_run_is_observed_in_all_its_histograms() -> None:
    metrics = Metrics("landmark-dlib", "1.0.0", "d")
    metrics.ran(3, 0.5, 0.25)
    found = families(metrics)
    sums = {
        name: next(s.value for s in samples if s.name.endswith("_sum"))
        for name, samples in found.items()
        if any(s.name.endswith("_sum") for s in samples)
    }
    assert sums == {
        "model_inference_duration_seconds": 0.5,
        "model_batch_size": 3,
        "facemodels_client_request_duration_seconds": 0,
        "model_request_duration_seconds": 0,
        "model_queue_duration_seconds": 0.25,
        "model_request_size_bytes": 0,
    }


def test_a_quantile_of_requests_is_known_within_a_quarter_and_half_a_second_is_a_bound() -> None:
    metrics = Metrics("landmark-dlib", "1.0.0", "d")
    metrics.answered(0.3)
    samples = families(metrics)["model_request_duration_seconds"]
    counts = {s.labels["le"]: s.value for s in samples if s.name.endswith("_bucket")}
    bounds = [float(bound) for bound in counts]
    assert (bounds[0], bounds[-2]) == (0.0005, 16.0)
    assert all(high / low <= 1.29 for low, high in zip(bounds[:-2], bounds[1:-1], strict=True))
    assert (counts["0.25"], counts["0.315"], counts["0.5"]) == (0, 1, 1)


def test_an_end_without_a_name_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        Metrics("landmark-dlib", "1.0.0", "d").count("fine")

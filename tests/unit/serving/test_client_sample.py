"""One request of each client in two seconds is evidence, whatever else the client sends."""

from __future__ import annotations

from prometheus_client import generate_latest

from facemodels.monitoring.metrics.reading import STATUSES, Series, parse
from facemodels.serving.client_sample import ClientSample
from facemodels.serving.metrics import Metrics

SERIES = Series("recognition-facenet", "2.1.3")


def test_each_client_is_taken_once_in_a_period() -> None:
    now = [0.0]
    sample = ClientSample(lambda: now[0])
    assert [sample.takes(one) for one in "aababb"] == [True, False, True, False, False, False]
    now[0] = 1.9
    assert not sample.takes("a")
    now[0] = 2.0
    assert sample.takes("a")


def test_a_server_counts_the_sample_beside_all_requests_and_leaves_out_probes() -> None:
    metrics = Metrics(*SERIES, "digest")
    for number in range(5):
        metrics.count("error", sampled=number == 0)
        metrics.answered(0.3, sampled=number == 0)
    metrics.count("success", probe=True, sampled=True)
    found = parse(generate_latest(metrics.registry).decode(), SERIES)
    assert dict(zip(STATUSES, found.statuses, strict=True))["error"] == 5
    assert dict(zip(STATUSES, found.sampled, strict=True)) == {
        **dict.fromkeys(STATUSES, 0), "error": 1
    }  # fmt: skip
    assert (sum(found.latency.counts), sum(found.sampled_latency.counts)) == (5, 1)

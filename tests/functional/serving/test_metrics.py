"""What Prometheus reads, and what is said of failures nobody foresaw."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from facemodels.serving.metrics import STATUSES

from .conftest import GOLDEN, Server, Start
from .wire import LARGE_IMAGES, LEAKS, LIVE, Wire, picture, post, series, slow_form, wait_until

JPEG = {"content-type": "image/jpeg"}
PATH = "/api/landmarks"


@pytest.fixture(scope="module")
def fresh(start: Start) -> Server:
    return start(GOLDEN)


def test_every_series_is_there_before_the_first_request(fresh: Server) -> None:
    families = {f.name: f for f in text_string_to_metric_families(fresh.get("/metrics").text)}
    names = {"model_name": "landmark-dlib", "model_version": "1.0.0"}
    for family in families.values():
        assert all(sample.labels.items() >= names.items() for sample in family.samples)
    counted = {s.labels["status"]: s.value for s in families["model_predictions"].samples}
    assert counted == dict.fromkeys(STATUSES, 0)
    (sample,) = [
        s for s in families["model_inference_duration_seconds"].samples if s.name.endswith("_count")
    ]
    assert (sample.labels, sample.value) == (names, 0)
    assert {
        "model_queue_duration_seconds", "model_batch_size", "model_request_size_bytes",
        "model_request_duration_seconds", "model_requests_in_flight", "model_process_memory_bytes", "model_build_info",
    } <= families.keys()  # fmt: skip
    assert families["model_process_memory_bytes"].samples[0].value > 10_000_000


def test_every_prediction_is_counted_by_its_end(start: Start) -> None:
    server = start(GOLDEN, body_bytes=1_000_000)
    data = picture()
    for _ in range(3):
        assert server.post(PATH, content=data, headers=JPEG).status_code == 200
    files = [("image", ("a.jpg", data, "image/jpeg"))] * 2
    assert server.post(PATH, files=files).status_code == 200
    wrong = [
        server.post(PATH, content=b"x", headers=JPEG),
        server.post(PATH, content=b"x"),
        server.post(PATH, content=bytes(2_000_000), headers=JPEG),
        server.post("/v2/models/landmark-dlib/infer", content=b"{}"),
        server.post("/v2/models/another/infer", content=b"{}"),
        server.post("/api/embed", content=data, headers=JPEG),
    ]
    assert [answer.status_code for answer in wrong] == [422, 415, 413, 400, 404, 404]
    for path in ("/", "/nowhere", "/v2/health/live"):
        assert server.post(path).status_code in (404, 405)  # not predictions
    with Wire(server) as wire:
        wire.send(post(PATH, data)[:-10])  # and leaves
    server.wait_for("request", status=499)
    found = series(server)
    assert found["model_predictions_total{success}"] == 4
    assert found["model_predictions_total{invalid}"] == 6
    assert found["model_predictions_total{abandoned}"] == 1
    assert sum(found[f"model_predictions_total{{{s}}}"] for s in STATUSES) == 11
    assert found["model_inference_duration_seconds_count"] == 4
    assert found["model_batch_size_sum"] == 5
    assert found["model_queue_duration_seconds_count"] == 4
    assert found["model_request_duration_seconds_count"] == 9  # whose requests were complete
    assert found["model_request_size_bytes_sum"] > 5 * len(data)
    assert found["model_requests_in_flight"] == 0


def test_requests_in_work_show_and_those_turned_away_are_counted(start: Start) -> None:
    server = start(GOLDEN, queue=2, workers=1, deadline_s=60, **LARGE_IMAGES)
    request = server_request(server)
    with Wire(server) as one, Wire(server) as other, Wire(server) as third:
        one.send(request)
        other.send(request)
        wait_until(lambda: series(server)["model_requests_in_flight"] == 2)
        answer = third.send(post(PATH, picture())).answer()
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert one.answer().status == other.answer().status == 200
    found = series(server)
    assert found["model_predictions_total{rejected}"] == 1
    assert found["model_predictions_total{success}"] == 2
    assert found["model_requests_in_flight"] == 0


def server_request(server: Server) -> bytes:
    import httpx

    form = httpx.Request("POST", f"{server.url}{PATH}", **slow_form(8))
    return post(PATH, form.read(), content_type=form.headers["content-type"])


@pytest.fixture
def failing(facenet: Path, tmp_path: Path) -> Path:
    """A package that is whole, and whose predictor feeds its graph images of a wrong size."""
    folder = tmp_path / "facenet-v1.2.3"
    shutil.copytree(facenet, folder)
    path = folder / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["preprocessing"]["size"] = [48, 48]
    path.write_text(yaml.safe_dump(config))
    listed = folder / "checksums.sha256"
    lines = [line.split("  ", 1)[1] for line in listed.read_text().splitlines()]
    listed.write_text(
        "".join(
            f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
            for name in lines
        )
    )
    return folder


def test_a_failure_is_told_to_the_log_and_not_to_the_client(start: Start, failing: Path) -> None:
    server = start(failing)
    answer = server.post("/api/embed", content=picture(), headers=JPEG)
    assert answer.status_code == 500
    assert answer.json() == {
        "error": "The server failed; it has the details.",
        "code": "internal",
        "request_id": answer.headers["x-request-id"],
    }
    assert not LEAKS.search(answer.text)
    line = server.wait_for("failed", request_id=answer.headers["x-request-id"])
    assert "Traceback" in line["exception"]
    assert series(server)["model_predictions_total{error}"] == 1
    with Wire(server) as wire:
        assert wire.send(LIVE).answer().status == 200
    assert all(line["event"] != "raw" for line in server.lines), "a line that is no JSON"

"""Probes are no traffic: they are counted apart, and nobody but the controller can mark one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest

from facemodels.deployment.servers.probe_secret import probe_secret
from facemodels.monitoring.metrics.reading import Series, parse
from facemodels.serving.http.middleware import RequestMiddleware
from facemodels.serving.http.probe_mark import VARIABLE
from facemodels.serving.metrics import Metrics
from facemodels.serving.settings import Limits

SERIES = Series("recognition-facenet", "1.0.0")


async def answer(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


def ask(middleware: RequestMiddleware, *headers: tuple[bytes, bytes]) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: Any) -> None:
        """Take it."""

    scope = {"type": "http", "method": "POST", "path": "/api/embed", "headers": list(headers)}
    asyncio.run(middleware(scope, receive, send))


def test_only_requests_with_the_secret_are_kept_out_of_the_traffic(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VARIABLE, "secret")
    metrics = Metrics(*SERIES, "digest")
    middleware = RequestMiddleware(answer, limits=Limits(), tokens=None, metrics=metrics)
    for _ in range(5):
        ask(middleware, (b"x-facemodels-probe", b"secret"))
    ask(middleware, (b"x-facemodels-probe", b"guessed"))
    ask(middleware)
    text = generate_latest(metrics.registry).decode()
    reading = parse(text, SERIES)
    assert sum(reading.statuses) == sum(reading.latency.counts) == 2
    assert 'model_probe_predictions_total{model_name="recognition-facenet"' in text
    assert 'status="success"} 5.0' in text


def test_a_server_without_a_secret_takes_no_request_for_a_probe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    metrics = Metrics(*SERIES, "digest")
    middleware = RequestMiddleware(answer, limits=Limits(), tokens=None, metrics=metrics)
    ask(middleware, (b"x-facemodels-probe", b""))
    assert sum(parse(generate_latest(metrics.registry).decode(), SERIES).statuses) == 1


def test_the_secret_outlives_the_controller_and_is_for_its_user_alone(tmp_path: Path) -> None:
    made = probe_secret(tmp_path / "servers")
    assert probe_secret(tmp_path / "servers") == made
    assert (tmp_path / "servers/probe-secret").stat().st_mode & 0o077 == 0

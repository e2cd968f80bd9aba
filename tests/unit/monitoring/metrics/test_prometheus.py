"""A Prometheus server that answers wrongly, or not at all, leaves nothing and an alarm."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from facemodels.errors import ToolError
from facemodels.monitoring.metrics.prometheus import PrometheusSource
from facemodels.monitoring.metrics.reading import Series
from facemodels.monitoring.metrics.source import windows
from facemodels.monitoring.settings import PrometheusAccess

OLD, NEW = Series("recognition-facenet", "2.1.3"), Series("recognition-facenet", "2.2.0")


@pytest.fixture
def answered() -> Iterator[Callable[[bytes, int], PrometheusSource]]:
    """A source whose server answers everything with the same bytes."""
    ended: list[Callable[[], None]] = []

    def start(body: bytes, status: int = 200) -> PrometheusSource:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        source = PrometheusSource(f"http://127.0.0.1:{server.server_port}")
        ended.extend((source.close, server.shutdown, server.server_close))
        return source

    yield start
    for end in ended:
        end()


def said(result: object) -> bytes:
    return json.dumps({"status": "success", "data": {"result": result}}).encode()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 200),
        (b"<html>", 502),
        (b"[]", 200),
        (b"null", 200),
        (b'{"status": "error", "error": "too many samples"}', 422),
        (b'{"status": "success"}', 200),
        (b'{"status": "success", "data": []}', 200),
        (said("text"), 200),
        (said([1]), 200),
        (said([{"metric": {}, "values": [[1, "2"]]}]), 200),
        (said([{"metric": {"instance": "a"}, "values": [["x", "y"]]}]), 200),
        (said([{"metric": {"instance": "a"}, "values": 7}]), 200),
        (said([None]), 200),
    ],
)
def test_a_wrong_answer_is_missing_with_an_alarm(answered, body: bytes, status: int) -> None:
    source = answered(body, status)
    (window,) = windows(source, NEW, OLD, 1000, 1010, 10)
    assert window.canary is None
    assert window.stable is None
    assert "does not answer as it should" in source.problem
    assert source.peaks(OLD, 1000, 1010) is None
    assert source.gauge("facemodels_probe_accuracy", OLD, 1000, 1010) == []
    with pytest.raises(ToolError):
        source.now()


def test_no_samples_are_missing_without_an_alarm(answered) -> None:
    source = answered(said([]), 200)
    (window,) = windows(source, NEW, OLD, 1000, 1010, 10)
    assert (window.canary, window.stable, source.problem) == (None, None, "")


def test_a_server_that_is_gone_is_missing_with_an_alarm() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    source = PrometheusSource(url, timeout_s=1)
    assert source.readings(OLD, 0, 10) == []
    assert url in source.problem
    source.close()


def test_a_question_carries_token_and_headers_as_their_files_are_now(tmp_path: Path) -> None:
    asked: list[tuple[str | None, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            asked.append((self.headers["authorization"], self.headers["x-scope-orgid"]))
            good = asked[-1][0] == "Bearer second"
            self.send_response(200 if good else 401)
            self.end_headers()
            self.wfile.write(said([0, "12.5"]))

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    access = PrometheusAccess(token="secret.txt", headers="headers")  # noqa: S106  (a file)
    url = f"http://127.0.0.1:{server.server_port}"
    source = PrometheusSource(url, lag_s=0, access=access, root=tmp_path)
    try:
        with pytest.raises(ToolError, match="No such file"):
            source.now()
        (tmp_path / "headers").write_text("X-Scope-OrgID: faces\n\n")
        (tmp_path / "secret.txt").write_text("first\n")
        with pytest.raises(ToolError, match="refuses the token"):
            source.now()
        (tmp_path / "secret.txt").write_text("second\n")
        assert source.now() > 0
        assert asked == [("Bearer first", "faces"), ("Bearer second", "faces")]
        other = PrometheusSource(url, access=PrometheusAccess(ca="ca.pem"), root=tmp_path)
        assert other.gauge("x", OLD, 0, 1) == []
        assert "No such file" in other.problem
    finally:
        source.close()
        server.shutdown()
        server.server_close()

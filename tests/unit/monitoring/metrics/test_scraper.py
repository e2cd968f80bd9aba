"""Many servers at once, some of which do not answer as they should."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from prometheus_client import generate_latest

from facemodels.monitoring.metrics.reading import Reading, Series
from facemodels.monitoring.metrics.scraper import MissingReading, Scrape, Scraper, ScrapeTarget
from facemodels.serving.metrics import Metrics

SERIES = Series("recognition-facenet", "2.1.3")
Answer = Callable[[BaseHTTPRequestHandler], None]


def page(success: int = 7, version: str = "2.1.3") -> bytes:
    metrics = Metrics(SERIES.model, version, "digest")
    for _ in range(success):
        metrics.count("success")
    return generate_latest(metrics.registry)


def answering(body: bytes, status: int = 200) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("content-length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], str]]:
    """Servers on loopback that answer as told; their URLs."""
    servers: list[ThreadingHTTPServer] = []

    def start(answer: Answer) -> str:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                try:
                    answer(self)
                except OSError:  # who asked has left
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # who asked has left
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def scrape_one(url: str, timeout_s: float = 0.5, token: str = "") -> Scrape:
    with Scraper(timeout_s, token) as scraper:
        (found,) = scraper.scrape([ScrapeTarget(url, SERIES, "one@1")])
    return found


def test_a_server_that_answers_is_read(serve) -> None:
    found = scrape_one(serve(answering(page())), timeout_s=10)
    assert isinstance(found.found, Reading)
    assert found.found.statuses[0] == 7
    assert found.target.instance == "one@1"


def test_the_token_is_sent_to_metrics(serve) -> None:
    asked: list[tuple[str, str | None]] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked.append((request.path, request.headers["authorization"]))
        answering(page())(request)

    url = serve(answer)
    scrape_one(url, 10, "secret")
    scrape_one(url, 10)
    assert asked == [("/metrics", "Bearer secret"), ("/metrics", None)]


def drip(request: BaseHTTPRequestHandler) -> None:
    """A byte now and then: no single wait is long."""
    request.send_response(200)
    request.end_headers()
    for byte in page():
        request.wfile.write(bytes([byte]))
        request.wfile.flush()
        if request.server.ended.wait(0.05):  # type: ignore[attr-defined]
            return


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (answering(page(version="2.2.0")), "2.2.0 answers"),
        (answering(b"<html>hello</html>"), "not our metrics"),
        (answering(b"model_predictions_total{"), "not our metrics"),
        (answering(b"model_predictions_total 7\n"), "not our metrics"),
        (answering(b"\xff\xfe"), "not our metrics"),
        (answering(page(), 401), "401"),
        (answering(page(), 503), "503"),
        (answering(b"x" * 5_000_000), "too long"),
    ],
)
def test_what_is_no_answer_is_missing_and_says_why(serve, answer: Answer, why: str) -> None:
    found = scrape_one(serve(answer), timeout_s=10).found
    assert isinstance(found, MissingReading)
    assert why in found.why


def test_a_server_that_is_gone_is_missing() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert isinstance(scrape_one(url).found, MissingReading)


def test_those_that_hang_or_drip_cost_one_timeout_together(serve) -> None:
    ended = threading.Event()

    def slow(request: BaseHTTPRequestHandler) -> None:
        request.server.ended = ended
        drip(request)

    urls = [serve(answering(page())), *(serve(slow) for _ in range(4))]
    urls += [serve(lambda request: ended.wait(30)) for _ in range(4)]
    with Scraper(1.5) as scraper:
        started = time.monotonic()
        found = scraper.scrape([ScrapeTarget(url, SERIES, url) for url in urls])
        took = time.monotonic() - started
    ended.set()
    assert isinstance(found[0].found, Reading)
    assert [one.found for one in found[1:]] == [MissingReading("no answer in 1.5 s")] * 8
    assert took < 2 * 1.5


def test_connections_are_kept_and_renewed_when_the_server_closes_them(serve) -> None:
    ports: list[int] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        ports.append(request.client_address[1])
        request.close_connection = len(ports) == 2
        answering(page())(request)

    target = ScrapeTarget(serve(answer), SERIES, "one@1")
    with Scraper(10) as scraper:
        found = [scraper.scrape([target])[0].found for _ in range(3)]
        assert scraper.scrape([]) == []
    assert all(isinstance(one, Reading) for one in found)
    assert ports[0] == ports[1]
    assert ports[2] != ports[1]


def test_a_server_with_nothing_new_is_asked_again_only_after_a_while(serve) -> None:
    asked: list[int] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked.append(1)
        answering(page(success=len(asked)), status=500 if len(asked) == 1 else 200)(request)

    url, now = serve(answer), [100.0]

    def successes(activity: tuple[int, ...] | None) -> int | str:
        (one,) = scraper.scrape([ScrapeTarget(url, SERIES, "one@1", activity=activity)])
        return one.found.statuses[0] if isinstance(one.found, Reading) else one.found.why

    with Scraper(10, clock=lambda: now[0]) as scraper:
        assert successes((0, 0)) == "500 Internal Server Error"  # no numbers to go on with
        assert [successes(told) for told in ((0, 0), (0, 0), (1, 0))] == [2, 2, 3]
        assert [successes(None), successes(None)] == [4, 5]  # it does not say
        assert successes((1, 0)) == 6
        now[0] += 10
        assert successes((1, 0)) == 7

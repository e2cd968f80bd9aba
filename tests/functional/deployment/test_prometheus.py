"""Real servers, Prometheus and Alertmanager: one meaning of the numbers, and the way of an alert."""

from __future__ import annotations

import io
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from facemodels.files import write_json
from facemodels.monitoring.alerts.alertmanager import Alert, read_alert
from facemodels.monitoring.alerts.files import write
from facemodels.monitoring.alerts.prometheus import targets
from facemodels.monitoring.metrics.prometheus import PrometheusSource
from facemodels.monitoring.metrics.reading import Reading, Series
from facemodels.monitoring.metrics.scraper import Scraper, ScrapeTarget
from facemodels.monitoring.metrics.source import memory, tally, total_increase, windows
from facemodels.monitoring.metrics.store import SampleStore
from facemodels.monitoring.settings import Triggers

GOLDEN = Path(__file__).resolve().parents[3] / "tests/golden/dlib-v1.0.0"
COMMAND = str(Path(sys.executable).with_name("facemodels"))
SERIES = Series("landmark-dlib", "1.0.0")
JPEG = {"content-type": "image/jpeg"}
PROGRAMS = {"prometheus": "prometheus", "prometheus-alertmanager": "prometheus-alertmanager"}
lacking = [package for program, package in PROGRAMS.items() if not shutil.which(program)]
pytestmark = pytest.mark.skipif(bool(lacking), reason=f"Debian's {' and '.join(lacking)} missing")


def until(found: Callable[[], Any], within_s: float = 60) -> Any:
    """The first true answer."""
    deadline = time.monotonic() + within_s
    pause = threading.Event()
    while time.monotonic() < deadline:
        if answer := found():
            return answer
        pause.wait(0.05)
    raise AssertionError(f"nothing after {within_s} s")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def picture() -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (70, 90, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, "JPEG")
    return stream.getvalue()


class Launch:
    """Starts processes; their output goes to a file beside which they run."""

    def __init__(self) -> None:
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def __call__(self, name: str, *command: str | Path, log: Path) -> None:
        with log.open("wb") as output:
            self.processes[name] = subprocess.Popen(
                command, stdout=output, stderr=output, cwd=log.parent
            )


@pytest.fixture(scope="module")
def launch() -> Iterator[Launch]:
    """Processes that end with the tests."""
    made = Launch()
    yield made
    for process in made.processes.values():
        process.kill()
        process.wait()


def serve(launch: Launch, folder: Path, number: int, **limits: float) -> ScrapeTarget:
    """A server of the golden package."""
    config, log = folder / f"serving-{number}.yaml", folder / f"server-{number}.log"
    config.write_text(json.dumps({"limits": limits}))
    instance = f"lmk-dlib-v1.0.0-{number}@{number}"
    command = [COMMAND, "serve", GOLDEN, "--port", "0", "--threads", "1", "--config", config]
    launch(instance, *command, log=log)

    def ready() -> int | None:
        lines = [line for line in log.read_text().splitlines() if '"ready"' in line]
        return json.loads(lines[0])["port"] if lines else None

    return ScrapeTarget(f"http://127.0.0.1:{until(ready)}", SERIES, instance)


class Controller:
    """Where Prometheus looks for the controller and Alertmanager tells its alerts."""

    def __init__(self) -> None:
        self.told: list[Alert] = []
        told = self.told

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(b"facemodels_probe_accuracy 0.9\n")

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.path == "/alerts":
                    told.extend(read_alert(body))
                self._answer(b"")

            def _answer(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("content-type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.address = f"127.0.0.1:{self.server.server_port}"


@pytest.fixture(scope="module")
def controller() -> Iterator[Controller]:
    made = Controller()
    yield made
    made.server.shutdown()
    made.server.server_close()


class Watched:
    """A store that scrapes, a Prometheus that scrapes, and the servers that both look at."""

    def __init__(self, folder: Path, prometheus: PrometheusSource) -> None:
        self.folder, self.prometheus = folder, prometheus
        self.servers: list[ScrapeTarget] = []
        self.store = SampleStore(folder / "samples.db")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._scrape, daemon=True)
        self.store.put([])
        self._thread.start()

    def _scrape(self) -> None:
        with Scraper(timeout_s=5) as scraper:
            while not self._ended.wait(0.2):
                self.store.put(scraper.scrape(self.servers))

    def look_at(self, *servers: ScrapeTarget) -> None:
        self.servers = list(servers)
        write_json(self.folder / "targets.json", targets(servers))

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self.store.close()
        self.prometheus.close()


@pytest.fixture(scope="module")
def watched(
    launch: Launch, controller: Controller, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    scraping, notifying = (f"127.0.0.1:{free_port()}" for _ in range(2))
    write(
        folder, Triggers(), control=controller.address, alertmanagers=(notifying,),
        interval_s=0.25, window_s=5, hold_s=0.5,
    )  # fmt: skip
    launch(
        "scraping", "prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data",
        f"--web.listen-address={scraping}", log=folder / "prometheus.log",
    )  # fmt: skip
    launch(
        "notifying", "prometheus-alertmanager", "--config.file=alertmanager.yml", "--storage.path=alerts",
        f"--web.listen-address={notifying}", "--cluster.listen-address=",
        log=folder / "alertmanager.log",
    )  # fmt: skip
    for address in (scraping, notifying):
        until(lambda address=address: _ready(f"http://{address}/-/ready"))
    made = Watched(folder, PrometheusSource(f"http://{scraping}", settled_s=0.5))
    # Prometheus watches before the servers start, as the controller's store does.
    until(lambda: made.prometheus._query('up{job="facemodels-controller"} == 1'))
    yield made
    made.close()


def _ready(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.HTTPError:
        return False


def send(server: ScrapeTarget, good: int, wrong: int = 0) -> list[int]:
    data = picture()
    with httpx.Client(base_url=server.url, timeout=60) as client:
        return [
            client.post("/api/landmarks", content=body, headers=JPEG).status_code
            for body in [data] * good + [b"no image"] * wrong
        ]


def test_both_sources_say_what_happened(launch: Launch, watched: Watched) -> None:
    store, prometheus = watched.store, watched.prometheus
    begun = store.now()
    one = serve(launch, watched.folder, 1)
    # This one counts before anybody looks: it appeared while we watched, so that counts too.
    assert send(one, 3) == [200] * 3
    watched.look_at(one)
    until(lambda: tally(prometheus, SERIES, begun, prometheus.now()))
    until(lambda: tally(store, SERIES, begun, store.now()))
    middle = store.now()
    other = serve(launch, watched.folder, 2)
    watched.look_at(one, other)
    assert send(one, 60, wrong=5) == [200] * 60 + [422] * 5
    assert send(other, 40) == [200] * 40

    def all_seen(source: SampleStore | PrometheusSource) -> bool:
        done = total_increase(source, SERIES, begun, source.now())
        return done is not None and sum(done.statuses) == 108

    until(lambda: all_seen(store))
    until(lambda: all_seen(prometheus))
    end = store.now()
    assert tally(prometheus, SERIES, begun, end) == tally(store, SERIES, begun, end)
    assert tally(prometheus, SERIES, middle, end) == tally(store, SERIES, middle, end)
    ours = total_increase(store, SERIES, middle, end)
    theirs = total_increase(prometheus, SERIES, middle, end)
    assert ours.statuses == theirs.statuses == (100, 5, 0, 0, 0)
    assert ours.tally.requests == 100
    assert ours.tally.answers == 105
    assert ours.latency.sum == pytest.approx(theirs.latency.sum, rel=1e-9)
    for source in (store, prometheus):
        found = windows(source, SERIES, Series("landmark-dlib", "9.9.9"), begun, end, 1.0)
        assert all(window.stable is None for window in found)
        whole = begun + len(found)
        assert (
            sum(w.canary.requests for w in found if w.canary)
            == tally(source, SERIES, begun, whole).requests
        )
    assert memory(prometheus, SERIES, middle, end) == pytest.approx(
        memory(store, SERIES, middle, end), rel=0.1
    )
    assert prometheus._query('model_predictions_total{exported_model_name!=""}') == []
    assert prometheus.problem == store.problem == ""


def test_a_failing_version_fires_and_the_controller_understands(
    launch: Launch, watched: Watched, controller: Controller
) -> None:
    assert not any(alert.rolls_back for alert in controller.told)
    begun = watched.store.now()
    broken = serve(launch, watched.folder, 3, deadline_s=0.0005)  # predictions are too late
    watched.look_at(broken)
    wanted = Alert("landmark-dlib", "1.0.0", "ModelErrorRateHigh", "firing")

    def told() -> bool:
        assert 504 in send(broken, 10)
        return wanted in controller.told

    until(told)
    assert wanted.rolls_back
    done = total_increase(watched.store, SERIES, begun, watched.store.now())
    assert done.tally.errors > 0.05 * done.tally.requests > 1


def test_a_server_that_dies_is_missing_and_told(
    launch: Launch, watched: Watched, controller: Controller
) -> None:
    store, prometheus = watched.store, watched.prometheus
    begun = store.now()
    server = serve(launch, watched.folder, 4)
    watched.look_at(server)
    for source in (store, prometheus):
        until(lambda source=source: tally(source, SERIES, begun, source.now()))
    lost = Alert("landmark-dlib", "1.0.0", "ModelMetricsLost", "firing")
    assert lost not in controller.told
    launch.processes[server.instance].kill()
    until(lambda: lost in controller.told)
    assert not lost.rolls_back
    end = store.now()
    for source in (store, prometheus):
        (window,) = windows(source, SERIES, SERIES, end - 1, end, 1)
        assert window.canary is None
        assert source.problem == ""  # the server is lost, the source is not
    assert store.missing(SERIES, end - 1, end)


def test_the_scraper_reads_a_real_server(launch: Launch, tmp_path: Path) -> None:
    target = serve(launch, tmp_path, 5)
    with Scraper(timeout_s=10) as scraper:
        (scrape,) = scraper.scrape([target])
    assert isinstance(scrape.found, Reading)
    assert scrape.found.statuses == (0, 0, 0, 0, 0)
    assert len(scrape.found.latency.bounds) > 40

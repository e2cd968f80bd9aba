"""What clients do wrong is no fault of the version, and leaves no work behind."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from facemodels.monitoring.metrics.increase import between
from facemodels.monitoring.metrics.reading import Series, parse
from facemodels.monitoring.metrics.windows import Tally
from facemodels.serving.heartbeat import read_heartbeat

from .conftest import GOLDEN, Server, Start
from .wire import Wire, picture, post, series, slow_form, wait_until

PATH = "/api/landmarks"


@pytest.fixture(scope="module")
def beat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("beat") / "server.beat"


@pytest.fixture(scope="module")
def server(start: Start, beat: Path) -> Server:
    return start(GOLDEN, "--heartbeat", str(beat), body_s=1.0, header_s=1.0, workers=1)


def tally(server: Server, before: str) -> Tally:
    """What the evidence for a rollback counts since `before`."""
    own = Series.of("lmk-dlib-v1.0.0")
    return between(parse(before, own), parse(server.get("/metrics").text, own)).tally


def test_fifty_clients_that_stall_or_vanish_are_no_evidence_against_the_version(
    server: Server,
) -> None:
    import httpx

    before = server.get("/metrics").text
    body = picture()
    form = httpx.Request("POST", f"{server.url}{PATH}", **slow_form(8, 2000))
    slow = post(PATH, form.read(), content_type=form.headers["content-type"])
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(server)) for _ in range(50)]
        for wire in wires[:15]:
            wire.send(b"POS")
        for wire in wires[15:35]:
            wire.send(post(PATH, body)[:-10])
        for wire in wires[35:]:
            wire.send(slow)  # 8 pictures of 4 megapixels each, in one thread
        wait_until(lambda: series(server)["model_requests_in_flight"] == 15)
        for wire in wires[35:]:
            wire.socket.close()
        assert [wire.answer().status for wire in wires[15:35]] == [408] * 20
        assert all(wire.closed() for wire in wires[:15])
    wait_until(lambda: series(server)["model_requests_in_flight"] == 0)
    assert server.post(PATH, content=body, headers={"content-type": "image/jpeg"}).is_success
    counts = "model_predictions_total{abandoned}", "model_predictions_total{success}"
    wait_until(lambda: sum(series(server)[name] for name in counts) == 36)
    found = tally(server, before)
    assert found.errors == 0
    assert 1 <= found.requests <= 3  # the last one, and what was done before its client left


def test_a_server_tells_of_its_progress_by_itself(server: Server, beat: Path) -> None:
    found = read_heartbeat(beat)
    assert found is not None
    assert (found.pid, found.ready) == (server.process.pid, True)
    wait_until(lambda: read_heartbeat(beat).written_s > found.written_s)

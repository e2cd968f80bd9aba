"""Health is answered beside a server that is busy or stands still, and nothing else changes."""

from __future__ import annotations

import os
import signal
import time

import psutil

from .conftest import GOLDEN, Start
from .wire import LIVE, Wire, picture, post, wait_until

READY = LIVE.replace(b"live", b"ready")
PREDICTION = post("/api/landmarks", picture())


def test_health_is_answered_while_the_server_stands_still(start: Start) -> None:
    server = start(GOLDEN)
    server.process.send_signal(signal.SIGSTOP)
    try:
        with Wire(server) as wire:
            began = time.monotonic()
            assert wire.send(LIVE + READY).answer().json() == {"live": True}
            assert wire.answer().json() == {"ready": True}
            assert time.monotonic() - began < 1

            def unready() -> bool:
                with Wire(server) as other:
                    return other.send(READY).answer().status == 503

            wait_until(unready)
            assert wire.send(LIVE).answer().status == 200
    finally:
        server.process.send_signal(signal.SIGCONT)
    with Wire(server) as wire:
        assert wire.send(PREDICTION).answer().status == 200


def test_a_connection_for_health_may_ask_for_anything_next(start: Start) -> None:
    server = start(GOLDEN)
    with Wire(server) as wire:
        answer = wire.send(LIVE.replace(b"\r\n\r\n", b"\r\nX-Request-Id: me\r\n\r\n")).answer()
        assert (answer.status, answer.headers["x-request-id"]) == (200, "me")
        assert wire.send(LIVE[:9]).quiet(0.1)
        assert wire.send(LIVE[9:] + PREDICTION + LIVE).answer().status == 200
        assert [wire.answer().status for _ in range(2)] == [200, 200]
    for odd, status in (
        (LIVE.replace(b"host: x\r\n", b""), 400), (LIVE.replace(b"live", b"live?x=1"), 400),
        (LIVE.replace(b"GET", b"POST"), 405), (LIVE.replace(b"1.1", b"3.7"), 400),
    ):  # fmt: skip
        with Wire(server) as wire:
            assert wire.send(odd).answer().status == status, odd
    with Wire(server) as wire:
        answer = wire.send(LIVE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")).answer()
        assert answer.headers["connection"] == "close"
        assert wire.closed()


def test_a_server_whose_doorman_is_killed_accepts_by_itself(start: Start) -> None:
    server = start(GOLDEN)
    (doorman,) = psutil.Process(server.process.pid).children()
    os.kill(doorman.pid, signal.SIGKILL)
    server.wait_for("no doorman")
    with Wire(server) as wire:
        assert wire.send(LIVE + PREDICTION).answer().status == 200
        assert wire.answer().status == 200
    assert server.stop() == 0

"""Clients that send too much, too slowly or no HTTP, and what becomes of the others."""

from __future__ import annotations

import re
import resource
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from .conftest import GOLDEN, Server, Start
from .wire import (
    LARGE_IMAGES,
    LEAKS,
    LIVE,
    Wire,
    launched,
    picture,
    post,
    series,
    slow_form,
    wait_until,
)

HEADER_S, IDLE_S, BODY_S = 1.0, 2.0, 3.0
PATH = "/api/landmarks"
PREDICTION = post(PATH, picture())


@pytest.fixture(scope="module")
def strict(start: Start) -> Server:
    return start(
        GOLDEN, body_bytes=200_000, images=2, headers=20, head_bytes=4096,
        header_s=HEADER_S, idle_s=IDLE_S, body_s=BODY_S,
    )  # fmt: skip


@pytest.fixture(scope="module")
def usual(start: Start) -> Server:
    return start(GOLDEN)


# The body.


def test_an_announced_body_over_the_limit_is_refused_before_it_is_sent(usual: Server) -> None:
    head = post(PATH, b"").replace(b"content-length: 0", b"content-length: 10000001")
    with Wire(usual) as wire:
        answer = wire.send(head).answer()
        assert answer.status == 413
        assert answer.headers["connection"] == "close"
        assert wire.closed()


def test_a_client_that_sends_a_large_body_without_listening_still_reads_the_answer(
    usual: Server,
) -> None:
    for _ in range(5):
        answer = usual.post(PATH, content=b"x" * 30_000_000, headers={"content-type": "image/png"})
        assert answer.status_code == 413


def test_a_body_of_just_the_limit_is_read(usual: Server) -> None:
    body = picture() + bytes(10_000_000 - len(picture()))
    answer = usual.post(PATH, content=body, headers={"content-type": "image/jpeg"})
    assert answer.status_code in (200, 422)


def test_a_body_without_length_is_refused_when_it_passes_the_limit(strict: Server) -> None:
    head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\n"
    chunk = b"%x\r\n" % 1000 + b"x" * 1000 + b"\r\n"
    with Wire(strict) as wire:
        wire.send(head.encode() + b"transfer-encoding: chunked\r\n\r\n")
        wire.send(chunk * 200)
        assert wire.quiet(0.2)  # 200,000 bytes are within the limit
        answer = wire.send(chunk).answer()
        assert answer.status == 413
        assert wire.closed()


def test_a_client_that_asks_before_sending_is_told_without_sending(strict: Server) -> None:
    head = post(PATH, b"", "expect: 100-continue").replace(b"length: 0", b"length: 300000")
    with Wire(strict) as wire:
        assert wire.send(head).answer().status == 413
        assert wire.closed()


def test_a_client_that_asks_before_sending_is_asked_for_the_body(strict: Server) -> None:
    body = picture()
    request = post(PATH, body, "expect: 100-continue")
    with Wire(strict) as wire:
        wire.send(request[: -len(body)])
        assert wire._until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue"
        assert wire.send(body).answer().status == 200


def test_an_early_answer_keeps_the_connection_and_its_body_is_no_request(strict: Server) -> None:
    inner = post("/inner", LIVE)
    with Wire(strict) as wire:
        assert wire.send(inner[: -len(LIVE)]).answer().status == 404
        assert wire.send(LIVE).quiet(0.2)
        assert wire.send(LIVE).answer().status == 200


def test_more_images_than_the_limit_are_refused(strict: Server) -> None:
    files = [("image", ("a.jpg", picture(), "image/jpeg"))] * 3
    assert strict.post(PATH, files=files[:2]).status_code == 200
    assert strict.post(PATH, files=files).status_code == 413


# Time.


def test_work_past_the_deadline_is_given_up(start: Start) -> None:
    server = start(GOLDEN, deadline_s=0.3, workers=1, **LARGE_IMAGES)
    began = time.monotonic()
    answer = server.post(PATH, **slow_form())
    assert answer.status_code == 504
    assert time.monotonic() - began < 2
    assert answer.json()["code"] == "deadline"
    assert series(server)["model_predictions_total{timeout}"] == 1


def test_a_body_past_its_time_is_given_up_and_the_connection_closed(strict: Server) -> None:
    began = time.monotonic()
    with Wire(strict) as wire:
        wire.send(post(PATH, bytes(1000))[:-900])
        answer = wire.answer()
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        assert BODY_S - 0.2 < time.monotonic() - began < BODY_S + 2
        assert wire.closed()


def test_a_head_byte_by_byte_is_given_up(strict: Server) -> None:
    began = time.monotonic()
    with Wire(strict) as wire:
        for byte in LIVE:
            wire.send(bytes([byte]))
            if not wire.quiet(0.1):
                break
        assert HEADER_S - 0.2 < time.monotonic() - began < HEADER_S + 2.5


def test_a_head_that_stops_is_told_so(strict: Server) -> None:
    with Wire(strict) as wire:
        answer = wire.send(LIVE[:10]).answer()
        assert answer.status == 408
        assert wire.closed()


@pytest.mark.parametrize("bytes_", [b"", b"\r\n"])
def test_a_connection_without_a_request_is_closed(strict: Server, bytes_: bytes) -> None:
    began = time.monotonic()
    with Wire(strict) as wire:
        while bytes_ and wire.quiet(0.1) and time.monotonic() - began < 10:
            wire.send(bytes_)
        assert wire.closed()
    assert time.monotonic() - began < HEADER_S + 2.5


def test_empty_lines_do_not_keep_an_idle_connection(strict: Server) -> None:
    with Wire(strict) as wire:
        assert wire.send(LIVE).answer().status == 200
        began = time.monotonic()
        while wire.quiet(0.2) and time.monotonic() - began < 10:
            wire.send(b"\r\n")
        assert IDLE_S - 0.5 < time.monotonic() - began < IDLE_S + 2.5


def test_a_kept_connection_may_idle_longer_than_a_head_may_take(strict: Server) -> None:
    with Wire(strict) as wire:
        assert wire.send(LIVE).answer().status == 200
        assert wire.quiet(HEADER_S + 0.5)
        wire.send(LIVE[:20])
        assert wire.quiet(0.7)  # the head has its whole time, whenever it began
        assert wire.send(LIVE[20:]).answer().status == 200
        assert wire.closed(IDLE_S + 3)


def test_no_answer_is_cut_short_by_the_times_of_heads(start: Start) -> None:
    """Requests one behind another, the later ones slower than any limit of the connection."""
    server = start(GOLDEN, header_s=0.3, idle_s=1.0, deadline_s=60.0, **LARGE_IMAGES)
    form = httpx.Request("POST", f"{server.url}{PATH}", **slow_form(16))
    slow = post(PATH, form.read(), content_type=form.headers["content-type"])
    with Wire(server) as wire:
        wire.send(LIVE + slow + LIVE + slow)
        began = time.monotonic()
        assert [wire.answer().status for _ in range(4)] == [200] * 4
        assert time.monotonic() - began > 2.5, "not slow enough to show anything"
        assert wire.quiet(0.5)
        assert wire.send(LIVE).answer().status == 200


def test_many_requests_on_one_connection_are_answered_in_order(usual: Server) -> None:
    with Wire(usual) as wire:
        wire.send(b"".join(LIVE[:-2] + b"x-request-id: n%d\r\n\r\n" % i for i in range(300)))
        assert [wire.answer().headers["x-request-id"] for _ in range(300)] == [
            f"n{i}" for i in range(300)
        ]


def test_slow_clients_take_no_turn_of_others(start: Start) -> None:
    """100 heads, 100 bodies byte by byte and 100 idle connections: nobody else waits."""
    server = start(GOLDEN, queue=4)
    body = picture()
    request = post(PATH, body)
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(server)) for _ in range(300)]
        for wire in wires[:100]:
            wire.send(LIVE[:8])
        for wire in wires[100:200]:
            wire.send(request[: -len(body)])
        for wire in wires[200:]:
            assert wire.send(LIVE).answer().status == 200
        times = []
        with httpx.Client(base_url=server.url, timeout=30) as client:
            for number in range(60):
                for wire in wires[:200]:
                    wire.send(request[8 + number : 9 + number])
                began = time.monotonic()
                answer = client.post(PATH, content=body, headers={"content-type": "image/jpeg"})
                times.append(time.monotonic() - began)
                assert answer.status_code == 200
        assert sorted(times)[-3] < 0.5, sorted(times)


# Connections.


def test_a_connection_too_many_takes_the_place_of_the_one_that_idled_longest(start: Start) -> None:
    server = start(GOLDEN, connections=20)
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(server)) for _ in range(60)]
        # Those that say nothing come to the server a moment later than those that ask at once.
        wait_until(lambda: sum(wire.closed(0.01) for wire in wires[:45]) >= 25)
        for wire in wires[-15:]:
            assert wire.send(PREDICTION).answer().status == 200
        assert all(wire.closed(5) for wire in wires[:30])
        assert wires[-1].send(PREDICTION).answer().status == 200


def test_connections_never_use_up_the_descriptors(start: Start) -> None:
    """Where they run out, libuv's listener is closed for good."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    ours = len(list(Path("/proc/self/fd").iterdir()))  # what the tests before this one hold
    resource.setrlimit(resource.RLIMIT_NOFILE, (ours + 300, before[1]))
    try:
        # The child inherits the soft limit and raises it as far as it may.
        raised = start(GOLDEN)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    limits = resource.prlimit(raised.process.pid, resource.RLIMIT_NOFILE)
    assert limits[0] == min(4096 + 1024 + 128, before[1])


def test_few_descriptors_mean_few_connections(tmp_path: Path) -> None:
    with launched(tmp_path, GOLDEN, prefix=["prlimit", "--nofile=1250:1250"]) as server:
        assert server.wait_for("fewer connections")["connections"] == 1250 - 1024 - 128
        with ExitStack() as stack:
            for _ in range(400):
                stack.enter_context(Wire(server))
            for _ in range(20):
                assert server.get("/v2/health/live").status_code == 200


# Heads.


def test_more_headers_than_the_limit_are_refused(strict: Server) -> None:
    for count, status in ((18, 200), (25, 431)):
        extra = b"".join(b"x-%d: 1\r\n" % i for i in range(count))
        with Wire(strict) as wire:
            assert wire.send(LIVE[:-2] + extra + b"\r\n").answer().status == status


@pytest.mark.parametrize(
    "start_of", [LIVE[:-2] + b"x-long: ", b"GET /", LIVE[:-2] + b"x", b"\r\n", b"G"]
)
def test_an_endless_head_is_refused_before_it_grows(strict: Server, start_of: bytes) -> None:
    filler = b"\r\n" * 512 if start_of == b"\r\n" else b"y" * 1024
    with Wire(strict) as wire:
        wire.send(start_of)
        sent = 0
        while wire.quiet(0.01):
            wire.socket.sendall(filler)
            sent += len(filler)
            assert sent < 100_000
    assert sent <= 16_384


def test_trailers_are_counted_and_never_taken_for_headers(strict: Server) -> None:
    body = picture()
    head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n".encode()
    chunked = b"%x\r\n" % len(body) + body + b"\r\n0\r\n"
    with Wire(strict) as wire:
        wire.send(head + b"\r\n" + chunked + b"content-type: image/jpeg\r\n\r\n")
        assert wire.answer().status == 415
    with Wire(strict) as wire:
        wire.send(head + b"content-type: image/jpeg\r\n\r\n" + chunked + b"x: 1\r\n" * 3000)
        assert wire.answer().status in (400, 431)
        assert wire.closed()


@pytest.mark.parametrize("asked", ["websocket", "h2c"])
def test_a_request_to_upgrade_is_answered_as_it_is(strict: Server, asked: str) -> None:
    upgrade = (
        f"connection: upgrade\r\nupgrade: {asked}\r\nsec-websocket-version: 13\r\n"
        "sec-websocket-key: eHh4eHh4eHh4eHh4eHh4eA=="
    )
    with Wire(strict) as wire:
        asking = LIVE[:-2] + f"{upgrade}\r\n\r\n".encode()
        wire.send(asking + post(PATH, picture(), *upgrade.split("\r\n")) + asking + LIVE)
        assert [wire.answer().status for _ in range(4)] == [200] * 4
        split = post(PATH, picture(), *upgrade.split("\r\n"))
        wire.send(split[:300])
        assert wire.quiet(0.2)
        assert wire.send(split[300:]).answer().status == 200


# What is no HTTP.

BROKEN = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "an unknown method": b"FROB / HTTP/1.1\r\nhost: x\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "a version unheard of": b"GET / HTTP/9.9\r\nhost: x\r\n\r\n",
    "HTTP/2 without asking": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a header without a colon": b"GET / HTTP/1.1\r\nhost x\r\n\r\n",
    "a null byte": b"GET / HTTP/1.1\r\nhost: x\r\nx: \0\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\nhost: x\r\n folded\r\n\r\n",
    "a name with a space": b"GET / HTTP/1.1\r\nhost : x\r\n\r\n",
    "two lengths": post("/", b"abc", "content-length: 5"),
    "a length and chunks": post("/", b"3\r\nabc\r\n0\r\n\r\n", "transfer-encoding: chunked"),
    "a negative length": b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
    "a length of letters": b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: abc\r\n\r\n",
    "a length beyond numbers": post("/", b"").replace(b": 0", b": " + b"9" * 40),
    "a broken chunk": (
        b"POST /api/landmarks HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"
    ),
    "a tunnel": b"CONNECT example.org:443 HTTP/1.1\r\nhost: x\r\n\r\n",
    "an address that is none": b"GET http:// HTTP/1.1\r\nhost: x\r\n\r\n",
    "bytes beyond ASCII": "GET /ä HTTP/1.1\r\nhost: x\r\n\r\n".encode("latin-1"),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_wrong_http_gets_a_clean_answer(strict: Server, data: bytes) -> None:
    with Wire(strict) as wire:
        answer = wire.send(data).answer()
        assert answer.status == 400
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
        assert not LEAKS.search(answer.text)
        assert wire.closed()
    strict.wait_for("request", request_id=answer.headers["x-request-id"], status=400)


def test_rubbish_behind_a_request_does_not_spoil_its_answer(strict: Server) -> None:
    with Wire(strict) as wire:
        answer = wire.send(post(PATH, picture()) + b"\0rubbish").answer()
        assert answer.status == 200
        assert wire.closed()


def test_no_answer_tells_what_it_is_made_with(strict: Server) -> None:
    requests = [
        LIVE,
        LIVE.replace(b"health/live", b"nowhere"),
        LIVE.replace(b"GET", b"DELETE"),
        post(PATH, b"no image"),
        post(PATH, b"x", content_type="text/plain"),
        post("/v2/models/landmark-dlib/infer", b"{", content_type="application/json"),
        post(PATH, bytes(300_000)),
        LIVE.replace(b"/v2/health/live", b"/v2/models/landmark-dlib"),
    ]
    for request in requests:
        with Wire(strict) as wire:
            answer = wire.send(request).answer()
        assert not {"server", "date", "x-powered-by"} & answer.headers.keys()
        assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])
        if answer.status >= 400:
            assert not LEAKS.search(answer.text), answer.text

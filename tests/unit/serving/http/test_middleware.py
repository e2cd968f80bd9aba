"""The rules of the request middleware that need no server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from facemodels.routes import ENDPOINTS, needed_scope
from facemodels.serving.http.access import authorise, is_loopback
from facemodels.serving.http.errors import RequestError
from facemodels.serving.http.exchange import Disconnected, Message, RequestBody, ResponseWriter
from facemodels.serving.http.middleware import identify, outcome, printable
from facemodels.serving.http.tokens import Tokens
from facemodels.serving.metrics import STATUSES


@pytest.mark.parametrize(
    ("host", "inside"),
    [
        ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True),
        ("0.0.0.0", False), ("::", False), ("", False), ("0", False), ("10.0.0.1", False),  # noqa: S104
        ("localhost.example.org", False), ("127.0.0.1.example.org", False), ("127.1", False),
    ],
)  # fmt: skip
def test_only_what_is_surely_loopback_counts_as_loopback(host: str, inside: bool) -> None:
    assert is_loopback(host) is inside


def test_every_status_has_its_word_in_the_metrics() -> None:
    words = {status: outcome(status) for status in range(200, 600)}
    assert set(words.values()) == set(STATUSES)
    assert [words[s] for s in (200, 304, 400, 401, 408, 413, 499, 500, 502, 503, 504)] == [
        "success", "success", "invalid", "invalid", "abandoned", "invalid", "abandoned", "error",
        "error", "rejected", "timeout",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "status", "shown"),
    [
        ("/api/embed", 200, True), ("/api/embed", 401, True), ("/api/embed", 404, False),
        ("/v2/models/recognition-facenet/versions/1.0.0/infer", 200, True), ("/", 200, True),
        ("/api/jane.jpg", 401, False), ("/v2/models/Jane Doe", 404, False), ("/metrics\n", 200, False),
        ("/api/embed\n", 200, False),
    ],
)  # fmt: skip
def test_the_log_shows_addresses_of_ours_alone(path: str, status: int, shown: bool) -> None:
    assert printable(path, status) == (path if shown else "unknown")


@pytest.mark.parametrize("given", [b"", b"a b", b"a\n", b"x" * 65, b"{}", b"\xff", b"a;b"])
def test_an_id_that_is_not_plain_is_replaced(given: bytes) -> None:
    made = identify({b"x-request-id": given})
    assert len(made) == 32
    assert made != identify({b"x-request-id": given})
    assert identify({b"x-request-id": b"of-a.client_1"}) == "of-a.client_1"


class Nobody(Tokens):
    """Knows no token."""

    def __init__(self) -> None:
        pass

    def holder(self, token: bytes) -> None:
        return None


def test_health_alone_needs_no_token_whatever_the_method() -> None:
    for endpoint in ENDPOINTS:
        for method in ("GET", "HEAD", "OPTIONS", "POST", endpoint.method):
            needed = needed_scope(method, endpoint.path)
            assert (needed is None) == endpoint.path.startswith("/v2/health/")
            if needed is None:
                authorise(Nobody(), {}, needed)
                continue
            with pytest.raises(RequestError) as refused:
                authorise(Nobody(), {}, needed)
            assert refused.value.status == 401


# Bodies and answers.


def body(headers: dict[bytes, bytes], parts: Sequence[bytes | None], most: int = 10) -> RequestBody:
    """What a client sends, part by part; None: it leaves."""
    left = list(parts)

    async def receive() -> Message:
        part = left.pop(0)
        if part is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": part, "more_body": bool(left)}

    return RequestBody(receive, headers, most)


def no_bound(size: int) -> None: ...


CHUNKED = {b"transfer-encoding": b"chunked"}


def test_a_body_is_given_out_whole() -> None:
    async def read() -> Message:
        coming = body(CHUNKED, [b"12345", b"678", b"90"])
        await coming.read(no_bound)
        assert (coming.pending, coming.admitted) == (False, 10)
        return await coming.receive()

    assert asyncio.run(read()) == {
        "type": "http.request",
        "body": b"1234567890",
        "more_body": False,
    }


def test_a_body_is_refused_at_its_announcement_or_when_it_passes_the_limit() -> None:
    for headers, parts in (
        ({b"content-length": b"11"}, []),
        (CHUNKED, [b"12345", b"678901", b"never read"]),
    ):
        with pytest.raises(RequestError) as refused:
            asyncio.run(body(headers, parts).read(no_bound))
        assert refused.value.status == 413


def test_a_client_that_leaves_in_the_middle_is_noticed() -> None:
    with pytest.raises(Disconnected):
        asyncio.run(body({b"content-length": b"9"}, [b"123", None]).read(no_bound))


@pytest.mark.parametrize(
    ("headers", "status", "closes"),
    [
        ({}, 200, False),
        ({b"content-length": b"5"}, 503, False),  # short: the client may keep the connection
        ({b"content-length": b"5"}, 504, True),  # and did not send it in all the time it had
        ({b"content-length": b"11"}, 413, True),
        ({b"content-length": b"5", b"expect": b"100-continue"}, 401, True),
        (CHUNKED, 404, True),
    ],
)
def test_an_answer_before_the_end_of_a_long_body_ends_the_connection(
    headers: dict[bytes, bytes], status: int, closes: bool
) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(dict(message))

    async def talk() -> None:
        answer = ResponseWriter(send, "an-id", body(headers, [b"12", b"3"]))
        await answer.send_error(RequestError(status, "code", "text"))
        await answer.send_error(RequestError(500, "late", "no second answer"))
        await answer.end()

    asyncio.run(talk())
    assert sent[0]["status"] == status
    assert ((b"connection", b"close") in sent[0]["headers"]) is closes
    assert (b"x-request-id", b"an-id") in sent[0]["headers"]
    assert [message.get("more_body", False) for message in sent[1:]] == (
        [True, False] if closes else [False]
    )

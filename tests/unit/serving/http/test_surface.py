"""What a server takes from clients of all kinds: encodings, methods, prefixes, headers."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse

from facemodels.serving.http.arrival import client_address, normalised, require_host, traced
from facemodels.serving.http.bodies import media_type
from facemodels.serving.http.cors import CrossOrigin
from facemodels.serving.http.encodings import encoding_of, expanded
from facemodels.serving.http.errors import RequestError

DATA = b"face" * 1000
BARE = zlib.compressobj(wbits=-15)


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [("gzip", gzip.compress(DATA, mtime=0)), ("deflate", zlib.compress(DATA)),
     ("deflate", BARE.compress(DATA) + BARE.flush())],
    ids=["gzip", "zlib", "bare"],
)  # fmt: skip
def test_a_compressed_body_is_expanded_up_to_the_limit(encoding: str, packed: bytes) -> None:
    assert expanded(packed, encoding, len(DATA)) == DATA
    for data, most, status in (
        (packed, len(DATA) - 1, 413), (packed[:-1], 10_000, 400), (packed + b"x", 10_000, 400),
        (b"", 10, 400), (b"face", 10, 400),
    ):  # fmt: skip
        with pytest.raises(RequestError) as refused:
            expanded(data, encoding, most)
        assert refused.value.status == status


def test_a_bomb_is_refused_before_it_fills_the_memory() -> None:
    bomb = zlib.compress(bytes(10_000_000), 9)
    with pytest.raises(RequestError, match="At most 1000 bytes"):
        expanded(bomb, "deflate", 1000)


@pytest.mark.parametrize("value", [b"br", b"gzip, gzip", b"zstd", b"\xff"])
def test_other_encodings_are_refused(value: bytes) -> None:
    assert [encoding_of(one) for one in (b"", b"identity", b"GZIP", b"x-gzip")] == [
        "", "", "gzip", "gzip",
    ]  # fmt: skip
    with pytest.raises(RequestError) as refused:
        encoding_of(value)
    assert refused.value.status == 415


def scope(method: str, path: str, *headers: tuple[bytes, bytes], **other: Any) -> dict[str, Any]:
    return {"method": method, "path": path, "headers": headers, "http_version": "1.1", **other}


def test_head_is_get_and_a_prefix_may_be_there_or_not() -> None:
    for path in ("/faces/api/model/info", "/api/model/info"):
        given = scope("HEAD", path)
        seen = normalised(given, "/faces")
        assert (seen["method"], seen["path"]) == ("GET", "/api/model/info")
        assert given["method"] == "HEAD"  # the connection sends no body
    assert normalised(scope("GET", "/faces"), "/faces")["path"] == "/"
    assert normalised(scope("GET", "/facesx"), "/faces")["path"] == "/facesx"


def test_a_request_says_once_whom_it_is_for() -> None:
    require_host(scope("GET", "/", (b"host", b"x")))
    require_host(scope("GET", "/", http_version="1.0"))
    for hosts in ((), ((b"host", b"x"), (b"host", b"y"))):
        with pytest.raises(RequestError, match="one Host"):
            require_host(scope("GET", "/", *hosts))


def test_the_log_has_trace_and_address_only_where_they_are_such() -> None:
    trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert traced({b"traceparent": trace}) == {"trace_id": "0af7651916cd43dd8448eb211c80319c"}
    for broken in (
        b"",
        b"jane doe",
        trace.replace(b"0af7", b"0AF7"),
        trace[:-4],
        b"ff" + trace[2:],
    ):
        assert traced({b"traceparent": broken}) == {}
    assert client_address({"client": ("::1", 4)}) == "::1"
    assert [client_address({"client": one}) for one in (None, ("jane-doe", 0))] == [None, None]


def test_the_other_names_of_jpeg_are_read() -> None:
    assert {media_type(f"{one}; q=1") for one in ("image/jpg", "image/pjpeg", "IMAGE/JPEG")} == {
        "image/jpeg"
    }


def test_pages_of_named_origins_may_ask_and_their_preflights_need_no_token() -> None:
    async def closed(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("no token", 401)(scope, receive, send)

    async def ask() -> list[httpx.Response]:
        app, found = CrossOrigin(closed, ("https://ours.example",)), []
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            for origin in ("https://ours.example", "https://theirs.example"):
                asked = {
                    "origin": origin, "access-control-request-method": "POST",
                    "access-control-request-headers": "authorization,content-type",
                }  # fmt: skip
                found.append(await client.options("/api/embed", headers=asked))
                found.append(await client.post("/api/embed", headers={"origin": origin}))
        return found

    allowed, answered, refused, unread = asyncio.run(ask())
    assert (allowed.status_code, answered.status_code) == (200, 401)
    assert (refused.status_code, unread.status_code) == (400, 401)
    for answer in (allowed, answered):
        assert answer.headers["access-control-allow-origin"] == "https://ours.example"
    for answer in (refused, unread):
        assert "access-control-allow-origin" not in answer.headers
    assert allowed.headers["x-request-id"]
    assert "retry-after" in answered.headers["access-control-expose-headers"]

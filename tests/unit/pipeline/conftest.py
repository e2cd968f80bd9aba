"""An HTTP server on loopback that publishes one file, with the faults of real ones."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Publisher:
    """Publishes `content` at `url`.

    Attributes:
        cuts: bytes after which the next connections break off, one entry for each.
        ranges: whether parts are given.
        etag: of the answers; "" for none, None for one of the content.
        requests: the `Range` header of every GET, "" for none.
        status: of every answer, if it is an error.
    """

    def __init__(self) -> None:
        self.content = b""
        self.cuts: list[int] = []
        self.ranges = True
        self.etag: str | None = None
        self.requests: list[str] = []
        self.status = 0
        publisher = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                publisher.answer(self)

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/weights.pt"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        if request.command == "GET":
            self.requests.append(request.headers.get("Range", ""))
        if self.status:
            request.send_error(self.status)
            return
        content, start = self.content, 0
        etag = (
            f'"{hashlib.sha1(content, usedforsecurity=False).hexdigest()}"'
            if self.etag is None
            else self.etag
        )
        asked = request.headers.get("Range", "")
        if asked and self.ranges and request.headers.get("If-Range") == etag:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
        if start and start >= len(content):
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(content)}")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        request.send_response(206 if start else 200)
        if start:
            last = len(content) - 1
            request.send_header("Content-Range", f"bytes {start}-{last}/{len(content)}")
        if etag:
            request.send_header("ETag", etag)
        request.send_header("Content-Length", str(len(content) - start))
        request.end_headers()
        if request.command == "GET":
            sent = content[start:]
            if self.cuts:
                sent = sent[: self.cuts.pop(0)]
                request.close_connection = True
            try:
                request.wfile.write(sent)
            except OSError:  # the client has seen enough
                request.close_connection = True

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    one = Publisher()
    yield one
    one.stop()

"""One connection: uvicorn's HTTP, with an end to every wait for the client.

uvicorn waits for ever for the head of a request that comes byte by byte ("slow loris"), takes
heads of any size, and closes at the end of a process what a client is about to use. A connection
here knows since when the client owes something; the server looks at all of them every second.
That is one place to decide, and no timer that could outlive what it was set for.
"""

from __future__ import annotations

import asyncio
import time
import uuid

import httptools
import orjson
import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from facemodels.serving.http.errors import RequestError
from facemodels.serving.http.readiness import Readiness
from facemodels.serving.settings import Limits

_BROKEN = RequestError(400, "broken_http", "The request is not HTTP as this server speaks it.")
_TOO_LARGE = RequestError(431, "head_too_large", "The address and headers are too large.")
_SLOW = RequestError(408, "head_timeout", "The head of the request took too long.")


class _RefusedError(Exception):
    """Out of the parser's callbacks, to `data_received`."""


class Connection(HttpToolsProtocol):
    """A connection with limits; see `with_limits`."""

    limits: Limits
    readiness: Readiness

    # The transport's side.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client came; where there are too many, the one who idled longest has to leave."""
        super().connection_made(transport)
        self._since = (
            time.monotonic()
        )  # the client's last step: came, began a request, was answered
        self._in_head = True
        self._head = 0  # bytes of address and headers
        self._silent = 0  # bytes since the parser last made something of them
        self._stuck_since: float | None = None  # the client does not read its answer
        self._deaf = False
        if len(self.connections) > self.limits.connections:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        """Bytes of requests."""
        if self._deaf:
            return
        self._unset_keepalive_if_required()
        self._silent += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(_TOO_LARGE if self._is_large() else _BROKEN)
        else:
            if self._silent > self.limits.head_bytes and not self.transport.is_closing():
                self._refuse(_TOO_LARGE)

    def _decline(self, rest: bytes) -> None:
        """Parse a request that asks for another protocol again, as if it did not ask.

        The parser hands over to the other protocol after the head; clients that prefer HTTP/2
        ask so with every request, and send its body as if nobody would answer them.

        Args:
            rest: what was received behind the head.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refuse(_BROKEN)
            return
        kept = [(name, value) for name, value in self.headers if name != b"upgrade"]
        head = b"".join(b"%b: %b\r\n" % header for header in kept)
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"%b %b HTTP/1.1\r\n%b\r\n%b" % (method, self.url, head, rest))

    def pause_writing(self) -> None:
        """The client does not read as fast as it is answered."""
        self._stuck_since = time.monotonic()
        super().pause_writing()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._stuck_since = None
        super().resume_writing()

    # The parser's side.

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._since = time.monotonic()
        self._in_head = True
        self._head = self._silent = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A part of the address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; one that trails a body is counted and forgotten."""
        self._count(len(name) + len(value))
        if self._in_head:
            super().on_header(name, value)
            if len(self.headers) > self.limits.headers:
                raise _RefusedError

    def on_headers_complete(self) -> None:
        """A request can be answered; when the server ends, it is the last on its connection."""
        if self.parser.get_http_version() not in ("1.0", "1.1"):
            raise _RefusedError
        if self.parser.should_upgrade():
            return  # see `_decline`
        self._in_head = False
        self._silent = 0
        super().on_headers_complete()
        if not self.readiness.ready:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """A part of a body."""
        self._silent = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The end of a request."""
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer is written."""
        self._since = time.monotonic()
        super().on_response_complete()

    def _is_large(self) -> bool:
        return self._head > self.limits.head_bytes or len(self.headers or ()) > self.limits.headers

    def _count(self, size: int) -> None:
        self._silent = 0
        self._head += size
        if self._head > self.limits.head_bytes:
            raise _RefusedError

    # The server's side.

    @property
    def busy(self) -> bool:
        """Whether the server owes an answer."""
        return self.cycle is not None and not self.cycle.response_complete

    def check(self, now: float) -> None:
        """Close the connection of a client who keeps the server waiting too long."""
        if self._stuck_since is not None and now - self._stuck_since > self.limits.idle_s:
            self.transport.abort()
        elif self.transport.is_closing():
            if now - self._since > self.limits.header_s:
                self.transport.abort()
        elif not self.busy and now - self._since > self._patience():
            self._give_up()

    def _patience(self) -> float:
        idles = self.cycle is not None and not self.cycle.more_body and not self._in_head
        return self.limits.idle_s if idles else self.limits.header_s

    def _give_up(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        elif self._in_head and self._head:
            self._refuse(_SLOW)
        else:
            self.transport.close()

    def _make_room(self) -> None:
        here = [one for one in self.connections if not one.transport.is_closing()]
        if len(here) > self.limits.connections:
            idle = (one for one in here if isinstance(one, Connection) and not one.busy)
            min(idle, key=lambda one: one._since).transport.abort()

    def shutdown(self) -> None:
        """The server ends: the answer in work is the last one."""
        if self.busy:
            self.cycle.keep_alive = False

    def close_unless_busy(self) -> None:
        """The server ends, and no request came any more."""
        if not self.busy:
            self.transport.close()

    def _refuse(self, problem: RequestError) -> None:
        """Say what is wrong and close, behind the answers that are still due."""
        self._deaf = True
        if self.busy:
            front = not self.pipeline and not self.cycle.response_started
            self.cycle.keep_alive = False
            if not (front and self.cycle.more_body):
                return
            self.cycle.disconnected = True  # its body is broken: nobody shall answer any more
            self.cycle.message_event.set()
        request_id = uuid.uuid4().hex
        body = orjson.dumps(problem.body(request_id))
        head = (
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
            f"x-request-id: {request_id}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(STATUS_LINE[problem.status] + head.encode() + body)
        self.transport.close()
        structlog.get_logger("facemodels.serving").info(
            "request", request_id=request_id, path="unknown", status=problem.status
        )


def with_limits(limits: Limits, readiness: Readiness) -> type[Connection]:
    """Connections of one server.

    Args:
        limits: of heads, and of how long a client may take.
        readiness: once it is false, every answer is the last one on its connection.
    """
    return type("LimitedConnection", (Connection,), {"limits": limits, "readiness": readiness})

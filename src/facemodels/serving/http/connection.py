"""One connection: uvicorn's, with a limit to every wait for the client.

uvicorn waits for the head of a request without a limit ("slow loris"), accepts heads of any size,
loses the body of a request with `Upgrade`, and at its end closes connections on which a client is
about to send. `Connection` records since when the client owes it something. The server checks all
connections every second, so that there is one place that decides and no timer for each wait.

uvicorn has no interface for this, so `Connection` derives from its connection class, which is not
documented. tests/unit/serving/http/test_uvicorn.py lists what is used of that class and fails if a
new uvicorn changes it; pyproject.toml holds the versions that were tested.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from http import HTTPStatus

import httptools
import orjson
import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from facemodels.serving.http.departures import client_left
from facemodels.serving.http.errors import RequestError
from facemodels.serving.http.one_write import OneWrite
from facemodels.serving.http.readiness import Readiness
from facemodels.serving.settings import Limits

_BROKEN = RequestError(400, "broken_http", "The request is not HTTP as this server speaks it.")
_TOO_LARGE = RequestError(431, "head_too_large", "The address and headers are too large.")
_SLOW = RequestError(408, "head_timeout", "The head of the request took too long.")


class _RefusedError(Exception):
    """Stops the parser from inside a callback; `data_received` handles it."""


class Connection(HttpToolsProtocol):
    """A connection with limits. `connection_class` makes a subclass for one server.

    Attributes:
        limits: the limits of heads, and of how long a client may take.
        readiness: once it is false, every response is the last one on its connection.
    """

    limits: Limits
    readiness: Readiness

    # Called by the transport.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected. If there are too many, the longest idle connection is closed."""
        super().connection_made(transport)
        self.transport = OneWrite(transport, asyncio.get_running_loop())  # type: ignore[assignment]
        # When the client connected, began its last request or got its last response.
        self._since = time.monotonic()
        self._in_head = True
        self._head_bytes = 0  # of the address and the headers
        self._silent_bytes = 0  # received since the parser last called back
        self._stuck_since: float | None = None  # since when the client reads no response
        self._refused = False
        if len(self.connections) > self.limits.connections:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has left: nobody waits for the answer in work."""
        if self.busy:
            client_left(dict(self.cycle.scope))
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse bytes of requests."""
        if self._refused:
            return
        self._silent_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(_TOO_LARGE if self._is_large() else _BROKEN)
        else:
            if self._silent_bytes > self.limits.head_bytes and not self.transport.is_closing():
                self._refuse(_TOO_LARGE)

    def _decline(self, rest: bytes) -> None:
        """Parse a request for another protocol again without its `Upgrade` header.

        After the head of such a request the parser expects the other protocol. Clients that prefer
        HTTP/2 ask for it with every request and send a body of HTTP/1.1, as HTTP allows.

        Args:
            rest: the bytes that were received after the head.
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
        """The client reads more slowly than the server writes."""
        self._stuck_since = time.monotonic()
        super().pause_writing()

    def resume_writing(self) -> None:
        """The client has read enough for the server to write again."""
        self._stuck_since = None
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Do nothing when uvicorn's timer ends: `check` closes idle connections."""

    # Called by the parser.

    def on_message_begin(self) -> None:
        """A request begins."""
        self._since = time.monotonic()
        self._in_head = True
        self._head_bytes = self._silent_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A part of the address has arrived."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header has arrived. One that follows a body is counted and dropped."""
        self._count(len(name) + len(value))
        if self._in_head:
            super().on_header(name, value)
            if len(self.headers) > self.limits.headers:
                raise _RefusedError

    def on_headers_complete(self) -> None:
        """Start to answer a request; if the server ends, as the last one on its connection."""
        if self.parser.get_http_version() not in ("1.0", "1.1"):
            raise _RefusedError
        if self.parser.should_upgrade():
            return  # the parser raises HttpParserUpgrade next; see `_decline`
        self._in_head = False
        self._silent_bytes = 0
        super().on_headers_complete()
        if not self.readiness.ready:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """A part of a body has arrived."""
        self._silent_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request has arrived completely: what its client does next is listened to.

        uvicorn stops reading after a large part of a body until the application asks for more.
        After the last part nobody asks, and nobody would notice that the client leaves.
        """
        if self.parser.should_upgrade():
            return
        super().on_message_complete()
        if not self.pipeline:  # the requests of a pipeline wait in the system's buffer
            self.flow.resume_reading()

    def on_response_complete(self) -> None:
        """A response has been written."""
        self._since = time.monotonic()
        super().on_response_complete()

    def _is_large(self) -> bool:
        return (
            self._head_bytes > self.limits.head_bytes
            or len(self.headers or ()) > self.limits.headers
        )

    def _count(self, size: int) -> None:
        self._silent_bytes = 0
        self._head_bytes += size
        if self._head_bytes > self.limits.head_bytes:
            raise _RefusedError

    # Called by the server.

    @property
    def busy(self) -> bool:
        """Whether a request has not been answered completely."""
        return self.cycle is not None and not self.cycle.response_complete

    def check(self, now: float) -> None:
        """Close the connection if the client keeps the server waiting for too long.

        Args:
            now: the time in seconds, of `time.monotonic`.
        """
        if self._stuck_since is not None and now - self._stuck_since > self.limits.idle_s:
            self.transport.abort()
        elif self.transport.is_closing():
            if now - self._since > self.limits.header_s:
                self.transport.abort()
        elif not self.busy and now - self._since > self._allowed_s():
            self._end_wait()

    def _allowed_s(self) -> float:
        """How long the client may take for its next step, in seconds."""
        idle = self.cycle is not None and not self.cycle.more_body and not self._in_head
        return self.limits.idle_s if idle else self.limits.header_s

    def _end_wait(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        elif self._in_head and self._head_bytes:
            self._refuse(_SLOW)
        else:
            self.transport.close()

    def _make_room(self) -> None:
        """Close the connection that has been idle for longest, if there are still too many."""
        here = [one for one in self.connections if not one.transport.is_closing()]
        if len(here) > self.limits.connections:
            idle = (one for one in here if isinstance(one, Connection) and not one.busy)
            min(idle, key=lambda one: one._since).transport.abort()

    def shutdown(self) -> None:
        """The server ends: the response in work is the last one."""
        if self.busy:
            self.cycle.keep_alive = False

    def close_unless_busy(self) -> None:
        """Close the connection if no request is in work. The server ends."""
        if not self.busy:
            self.transport.close()

    def _refuse(self, problem: RequestError) -> None:
        """Answer with an error, after the responses that are still due, and close."""
        self._refused = True
        if self.busy:
            front = not self.pipeline and not self.cycle.response_started
            self.cycle.keep_alive = False
            if not (front and self.cycle.more_body):
                return
            self.cycle.disconnected = True  # its body is broken: the endpoint must not answer it
            self.cycle.message_event.set()
        request_id = uuid.uuid4().hex
        body = orjson.dumps(problem.body(request_id))
        status = HTTPStatus(problem.status)
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
            f"x-request-id: {request_id}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
        structlog.get_logger("facemodels.serving").info(
            "request", request_id=request_id, path="unknown", status=problem.status
        )


def connection_class(limits: Limits, readiness: Readiness) -> type[Connection]:
    """The connection class of one server.

    Args:
        limits: the limits of heads, and of how long a client may take.
        readiness: once it is false, every response is the last one on its connection.
    """
    return type("LimitedConnection", (Connection,), {"limits": limits, "readiness": readiness})

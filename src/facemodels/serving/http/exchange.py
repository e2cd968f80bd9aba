"""The two directions of one request: the body that arrives and the response that leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import orjson

from facemodels.serving.http.encodings import encoding_of, expanded
from facemodels.serving.http.errors import RequestError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
_GIVEN_UP = (408, 504)  # the client did not send its body in all the time that it had
_LINGER_S = 2.0  # for reading on after an early answer, so that the client comes to read it


class Disconnected(Exception):  # noqa: N818  (nothing went wrong here)
    """The client closed the connection before its request was complete."""


class RequestBody:
    """The body of one request.

    Args:
        receive: ASGI's function that gives the next message.
        headers: the headers of the request, with names in lower case.
        most: the limit of the body in bytes.

    Attributes:
        pending: whether more of the body is to come.
        admitted: the bytes that `read` has passed to its `admit` so far.
    """

    def __init__(self, receive: Receive, headers: Mapping[bytes, bytes], most: int) -> None:
        self._receive = receive
        self._most = most
        length = headers.get(b"content-length")
        self._announced = int(length) if length is not None else 0  # the parser checked the digits
        self._encoding = headers.get(b"content-encoding", b"")
        chunked = b"transfer-encoding" in headers
        self._short = not chunked and self._announced <= most and b"expect" not in headers
        self._whole: Message | None = None
        self.pending = chunked or self._announced > 0
        self.admitted = 0

    @property
    def blocks(self) -> bool:
        """Whether so much may still come that the connection is closed rather than kept."""
        return self.pending and not self._short

    async def read(self, admit: Callable[[int], None]) -> None:
        """Read the whole body; `receive` then gives it as one message.

        Args:
            admit: is called with the size of every part in bytes; raises if there is no room.

        Raises:
            RequestError: 413; no more than the limit and one part has been read by then. 400 or
                415 for a compressed body that cannot be expanded.
            Disconnected: the body ends before its end.
        """
        self._check(self._announced)
        encoding = encoding_of(self._encoding)
        parts = [await self._next()]
        while True:
            admit(len(parts[-1]))
            self.admitted += len(parts[-1])
            self._check(self.admitted)
            if not self.pending:
                break
            parts.append(await self._next())
        whole = parts[0] if len(parts) == 1 else b"".join(parts)
        if encoding:
            whole = await asyncio.to_thread(expanded, whole, encoding, self._most)
            admit(len(whole))
            self.admitted += len(whole)
        self._whole = {"type": "http.request", "body": whole, "more_body": False}

    def _check(self, size: int) -> None:
        if size > self._most:
            raise RequestError(413, "body_too_large", f"At most {self._most} bytes a request.")

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        self.pending = message.get("more_body", False)
        part: bytes = message.get("body", b"")
        return part

    async def receive(self) -> Message:
        """ASGI's `receive` for the application: the whole body if it was read, else each part."""
        whole, self._whole = self._whole, None
        if whole is not None:
            return whole
        message = await self._receive()
        self.pending = message.get("more_body", False)
        return message

    async def discard(self) -> None:
        """Read and drop the rest of the body for up to `_LINGER_S` seconds.

        If a connection is closed while bytes are unread, it is reset, and the client may lose the
        answer.
        """
        try:
            async with asyncio.timeout(_LINGER_S):
                while self.pending:
                    await self._next()
        except (TimeoutError, Disconnected):
            return


class ResponseWriter:
    """ASGI's `send` for the application. It adds the request's id, and closes if it must.

    Args:
        send: ASGI's function that takes the next message.
        request_id: the id of the request, for the header `X-Request-Id`.
        body: the body of the request.

    Attributes:
        request_id: the id of the request.
        status: the HTTP status; 0 until the response has started.
    """

    def __init__(self, send: Send, request_id: str, body: RequestBody) -> None:
        self._send = send
        self.request_id = request_id
        self._body = body
        self._lingers = False
        self.status = 0

    async def __call__(self, message: Message) -> None:
        """Send one ASGI message of the response."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._lingers = self._body.blocks or (self._body.pending and self.status in _GIVEN_UP)
            message["headers"] = [
                *message.get("headers", ()),
                (b"x-request-id", self.request_id.encode()),
                (b"x-content-type-options", b"nosniff"),
                *([(b"connection", b"close")] if self._lingers else ()),
            ]
        elif self._lingers:
            message = {**message, "more_body": True}
        await self._send(message)

    async def send_error(self, error: RequestError) -> None:
        """Answer with an error, unless the response has started already."""
        if self.status:
            return
        body = orjson.dumps(error.body(self.request_id))
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            *((k.encode(), v.encode()) for k, v in error.headers.items()),
        ]
        await self({"type": "http.response.start", "status": error.status, "headers": headers})
        await self({"type": "http.response.body", "body": body})

    async def end(self) -> None:
        """End a response that was sent before the request was complete, and close."""
        if self._lingers:
            await self._body.discard()
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

"""The two directions of one request: the body that comes in, the answer that goes out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import orjson

from facemodels.serving.http.errors import RequestError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
_LINGER_S = 2.0  # to swallow what a client still sends, so that it comes to read the answer


class Disconnected(Exception):  # noqa: N818  (nothing went wrong here)
    """The client left before its request was complete."""


class RequestBody:
    """What a client sends after the head of its request.

    Args:
        receive: of ASGI.
        headers: of the request.
        most: bytes that are let in.

    Attributes:
        pending: whether more of it is to come.
        admitted: bytes that `read` found room for.
    """

    def __init__(self, receive: Receive, headers: Mapping[bytes, bytes], most: int) -> None:
        self._receive = receive
        self._most = most
        length = headers.get(b"content-length")
        self._announced = int(length) if length is not None else 0  # the parser let digits through
        chunked = b"transfer-encoding" in headers
        self._short = not chunked and self._announced <= most and b"expect" not in headers
        self._whole: Message | None = None
        self.pending = chunked or self._announced > 0
        self.admitted = 0

    @property
    def blocks(self) -> bool:
        """Whether so much is still to come that the connection is better closed than kept."""
        return self.pending and not self._short

    async def read(self, admit: Callable[[int], None]) -> None:
        """Take in all of it; `receive` gives it out as one message then.

        Args:
            admit: told of the bytes of every part; raises where there is no room for them.

        Raises:
            RequestError: 413, before more than the limit was read.
            Disconnected: it ends in the middle.
        """
        self._check(self._announced)
        parts = [await self._next()]
        while True:
            admit(len(parts[-1]))
            self.admitted += len(parts[-1])
            self._check(self.admitted)
            if not self.pending:
                break
            parts.append(await self._next())
        whole = parts[0] if len(parts) == 1 else b"".join(parts)
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
        """What the app receives: all of the body if it was read, else as it comes."""
        whole, self._whole = self._whole, None
        if whole is not None:
            return whole
        message = await self._receive()
        self.pending = message.get("more_body", False)
        return message

    async def discard(self) -> None:
        """Read on for a while and forget it.

        A connection that is closed on unread bytes is reset, and the answer may be lost with it.
        """
        try:
            async with asyncio.timeout(_LINGER_S):
                while self.pending:
                    await self._next()
        except (TimeoutError, Disconnected):
            return


class ResponseWriter:
    """The way back: adds the request's id, and ends the connection where that is due.

    Args:
        send: of ASGI.
        request_id: of the request.
        body: of the request.

    Attributes:
        request_id: as given.
        status: of HTTP; 0 as long as nothing was answered.
    """

    def __init__(self, send: Send, request_id: str, body: RequestBody) -> None:
        self._send = send
        self.request_id = request_id
        self._body = body
        self._lingers = False
        self.status = 0

    async def __call__(self, message: Message) -> None:
        """Send a part of the answer, as ASGI has it."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._lingers = self._body.blocks or (self._body.pending and self.status == 504)
            message["headers"] = [
                *message.get("headers", ()),
                (b"x-request-id", self.request_id.encode()),
                (b"x-content-type-options", b"nosniff"),
                *([(b"connection", b"close")] if self._lingers else ()),
            ]
        elif self._lingers:
            message = {**message, "more_body": True}
        await self._send(message)

    async def problem(self, problem: RequestError) -> None:
        """Answer with a problem, unless an answer is on its way already."""
        if self.status:
            return
        body = orjson.dumps(problem.body(self.request_id))
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            *((k.encode(), v.encode()) for k, v in problem.headers.items()),
        ]
        await self({"type": "http.response.start", "status": problem.status, "headers": headers})
        await self({"type": "http.response.body", "body": body})

    async def end(self) -> None:
        """Wait for the client to finish where it was cut short, and close."""
        if self._lingers:
            await self._body.discard()
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

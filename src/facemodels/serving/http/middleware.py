"""What every request passes before it reaches an endpoint: id, access, room, time, log.

Pure ASGI, in one layer: middleware that wraps streams costs a tenth of a fast model's time.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import structlog

from facemodels.serving.http.access import authorise, is_prediction
from facemodels.serving.http.errors import RequestError
from facemodels.serving.http.exchange import (
    Disconnected,
    Receive,
    RequestBody,
    ResponseWriter,
    Send,
)
from facemodels.serving.http.tokens import Tokens
from facemodels.serving.metrics import Metrics
from facemodels.serving.settings import Limits

App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9_.-]{1,64}")
# Addresses of ours, with nothing in them that a client made up.
_ADDRESS = re.compile(
    r"/|/metrics|/openapi\.json|/api/(?:model/info|detect|landmarks|embed|verify)"
    r"|/v2(?:/health/(?:live|ready)|/models/[a-z0-9-]+(?:/versions/[0-9.]+)?(?:/ready|/infer)?)?"
)
_LEFT = 499  # for the log, as nginx has it: the client did not wait for an answer
_FAILED = RequestError(500, "internal", "The server failed; it has the details.")
_LATE = RequestError(504, "deadline", "The answer took too long.")


class RequestMiddleware:
    """Lets requests through to an app, one by one.

    Args:
        app: what answers.
        limits: of requests.
        tokens: who may do what; None lets everyone do everything.
        metrics: told of every prediction's end.
    """

    def __init__(
        self, app: App, *, limits: Limits, tokens: Tokens | None, metrics: Metrics
    ) -> None:
        self._app = app
        self._limits = limits
        self._tokens = tokens
        self._metrics = metrics
        self._in_work = 0
        self._buffered = 0
        self._log = structlog.get_logger("facemodels.serving")

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        headers = dict(scope["headers"])
        request_id = identify(headers)
        scope.setdefault("state", {})["request_id"] = request_id
        predicts = is_prediction(scope["method"], scope["path"])
        body = RequestBody(receive, headers, self._limits.body_bytes)
        answer = ResponseWriter(send, request_id, body)
        status = await self._answered(scope, headers, body, answer, predicts=predicts)
        if predicts:
            self._metrics.count(outcome(status))
        self._log.info(
            "request",
            request_id=request_id,
            method=scope["method"],
            path=printable(scope["path"], status),
            status=status,
            ms=round((time.perf_counter() - start) * 1e3, 3),
        )

    async def _answered(
        self, scope: MutableMapping[str, Any], headers: Mapping[bytes, bytes], body: RequestBody,
        answer: ResponseWriter, *, predicts: bool,
    ) -> int:  # fmt: skip
        """Answer in any case; the status for log and metrics."""
        problem = None
        try:
            async with asyncio.timeout(self._limits.deadline_s) as deadline:
                if self._tokens is not None:
                    authorise(self._tokens, scope["path"], headers, predicts=predicts)
                if predicts:
                    await self._in_turn(scope, body, answer)
                else:
                    await self._app(scope, body.receive, answer)
        except RequestError as error:
            problem = error
        except Disconnected:
            return _LEFT
        except asyncio.CancelledError:
            self._log.warning("given up", request_id=answer.request_id)
            problem = self._busy()
        except Exception as error:  # noqa: BLE001  (whatever it is, the client hears nothing of it)
            late = isinstance(error, TimeoutError) and deadline.expired()
            problem = _LATE if late else _FAILED
            if not late:
                self._log.exception("failed", request_id=answer.request_id)
        if problem is not None:
            await answer.problem(problem)
        await answer.end()
        return problem.status if problem else answer.status

    async def _in_turn(
        self, scope: MutableMapping[str, Any], body: RequestBody, answer: ResponseWriter
    ) -> None:
        """Within the bounds of the queue and of the memory for bodies.

        A request counts when its body is complete: those who send slowly take no one's turn.
        """
        self._check_queue()
        try:
            await body.read(self._buffer)
            self._check_queue()
            self._in_work += 1
            self._metrics.in_flight.inc()
            start = time.perf_counter()
            try:
                await self._app(scope, body.receive, answer)
            finally:
                self._in_work -= 1
                self._metrics.in_flight.dec()
                self._metrics.answered(time.perf_counter() - start)
        finally:
            self._buffered -= body.admitted

    def _check_queue(self) -> None:
        if self._in_work >= self._limits.queue:
            raise self._busy()

    def _buffer(self, size: int) -> None:
        if self._buffered + size > self._limits.buffer_bytes:
            raise self._busy()
        self._buffered += size

    def _busy(self) -> RequestError:
        """A new one for every request: an error keeps the frames of all that ever raised it."""
        retry = {"retry-after": str(self._limits.retry_after_s)}
        return RequestError(503, "busy", "The server is busy; come back in a moment.", retry)


def outcome(status: int) -> str:
    """The metric's word for the end of a prediction."""
    if status < 400:
        return "success"
    return RequestError(status, "", "").outcome


def printable(path: str, status: int) -> str:
    """A path for the log; one that is not ours may hold anything."""
    return path if status != 404 and _ADDRESS.fullmatch(path) else "unknown"


def identify(headers: Mapping[bytes, bytes]) -> str:
    """The client's own id of its request where it is a plain one, else a new one."""
    given = headers.get(b"x-request-id", b"")
    return given.decode() if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex

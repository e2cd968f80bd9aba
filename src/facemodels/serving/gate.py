"""What every request passes before it reaches an endpoint: id, access, room, time, log.

Pure ASGI, in one layer: middleware that wraps streams costs a tenth of a fast model's time.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson
import structlog

from facemodels.serving.metrics import Metrics
from facemodels.serving.problems import RequestError
from facemodels.serving.settings import Limits
from facemodels.serving.tokens import Scope, Tokens

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9_.-]{1,64}")
_OPEN = ("/", "/openapi.json", "/v2/health/live", "/v2/health/ready")  # nothing is told there


class Gate:
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
        self._log = structlog.get_logger("facemodels.serving")

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        request_id = _request_id(headers)
        scope.setdefault("state", {})["request_id"] = request_id
        answer = _Answer(send, request_id)
        predicts = scope["method"] == "POST"
        start = time.perf_counter()
        try:
            self._authorise(scope["path"], predicts, headers)
            if predicts:
                await self._in_turn(scope, receive, answer)
            else:
                await self._app(scope, receive, answer)
        except RequestError as problem:
            await answer.problem(problem)
        except Exception:  # noqa: BLE001  (whatever it is, the client hears nothing of it)
            self._log.exception("failed", request_id=request_id)
            await answer.problem(
                RequestError(500, "internal", "The server failed; it has the details.")
            )
        self._finish(scope, request_id, answer.status, start, predicts=predicts)

    def _finish(
        self, scope: MutableMapping[str, Any], request_id: str, status: int, start: float,
        *, predicts: bool,
    ) -> None:  # fmt: skip
        if predicts and scope["path"] != "/":
            ended = "success" if status < 400 else RequestError(status, "", "").outcome
            self._metrics.count(ended)
        self._log.info(
            "request",
            request_id=request_id,
            method=scope["method"],
            path=scope["path"][:200],
            status=status,
            ms=round((time.perf_counter() - start) * 1e3, 3),
        )

    async def _in_turn(
        self, scope: MutableMapping[str, Any], receive: Receive, answer: _Answer
    ) -> None:
        """Within the bound of the queue and before the deadline."""
        if self._in_work >= self._limits.queue:
            retry = {"retry-after": str(self._limits.retry_after_s)}
            raise RequestError(503, "busy", "The server is busy; come back in a moment.", retry)
        self._in_work += 1
        self._metrics.in_flight.inc()
        try:
            async with asyncio.timeout(self._limits.deadline_s):
                await self._app(scope, receive, answer)
        except TimeoutError as error:
            raise RequestError(504, "deadline", "The answer took too long.") from error
        finally:
            self._in_work -= 1
            self._metrics.in_flight.dec()

    def _authorise(self, path: str, predicts: bool, headers: dict[bytes, bytes]) -> None:
        """Raise unless the bearer may do this.

        Raises:
            RequestError: 401 without a token that is known, 403 without the scope.
        """
        if self._tokens is None or path in _OPEN:
            return
        kind, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        held = self._tokens.scopes(token.strip()) if kind.lower() == "bearer" else None
        if held is None:
            asked = {"www-authenticate": 'Bearer realm="facemodels"'}
            raise RequestError(401, "unauthenticated", "Send a bearer token.", asked)
        needed = _scope(path, predicts=predicts)
        if needed not in held and "admin" not in held:
            lacks = f'Bearer error="insufficient_scope", scope="{needed}"'
            text = f"The token lacks the scope {needed}."
            raise RequestError(403, "forbidden", text, {"www-authenticate": lacks})


def _scope(path: str, *, predicts: bool) -> Scope:
    if predicts:
        return "predict"
    return "metrics" if path == "/metrics" else "info"


class _Answer:
    """The way back: adds the request's id, remembers the status, tells whether it began."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [
                *message.get("headers", ()),
                (b"x-request-id", self._request_id.encode()),
                (b"x-content-type-options", b"nosniff"),
            ]
        await self._send(message)

    async def problem(self, problem: RequestError) -> None:
        """Answer with a problem, unless an answer is on its way already."""
        if self.status:
            return
        body = orjson.dumps(problem.body(self._request_id))
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            *((k.encode(), v.encode()) for k, v in problem.headers.items()),
        ]
        await self({"type": "http.response.start", "status": problem.status, "headers": headers})
        await self({"type": "http.response.body", "body": body})


def _request_id(headers: dict[bytes, bytes]) -> str:
    """The client's own id where it is a plain one."""
    given = headers.get(b"x-request-id", b"")
    return given.decode() if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

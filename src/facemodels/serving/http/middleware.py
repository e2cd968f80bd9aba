"""The request middleware: every request passes it before it reaches an endpoint.

It gives the request its id, checks access, reads the body within the limits, admits it to the
queue, sets the deadline, and writes the log and the metrics. It is one layer of plain ASGI:
several layers that wrap streams would cost a tenth of the time that a fast model takes.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Container, Mapping, MutableMapping
from typing import Any

import structlog

from facemodels.routes import Scope, is_ours, is_prediction, needed_scope, without_person
from facemodels.serving.http.access import authorise
from facemodels.serving.http.admission import Admission
from facemodels.serving.http.arrival import (
    client_address,
    normalised,
    require_host,
    traced,
)
from facemodels.serving.http.departures import ClientWatch
from facemodels.serving.http.errors import RequestError
from facemodels.serving.http.exchange import (
    Disconnected,
    Receive,
    RequestBody,
    ResponseWriter,
    Send,
)
from facemodels.serving.http.probe_mark import ProbeMark
from facemodels.serving.http.tokens import Tokens
from facemodels.serving.metrics import Metrics
from facemodels.serving.settings import Limits

App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9_.-]{1,64}")
_CLIENT_LEFT = 499  # nginx's status, for the log: the client did not wait for the answer
_FAILED = RequestError(500, "internal", "The server failed; it has the details.")
_LATE = RequestError(504, "deadline", "The answer took too long.")
_SLOW = RequestError(408, "body_timeout", "The body of the request took too long.")
_ENDING = RequestError(503, "ending", "The server ends; ask again.", {"retry-after": "1"})


class RequestMiddleware:
    """An ASGI application that checks, limits, times and logs the requests of another one.

    Args:
        app: the application that answers.
        limits: the limits of requests.
        tokens: the tokens that are accepted; None lets everyone do everything.
        metrics: where each prediction is counted.
        opened: the paths that need no token, beside those of health.
        prefix: of all addresses, such as `/faces`.
        admission: which predictions are worked on; None for one by the limits alone.

    Attributes:
        admission: which predictions are worked on.
    """

    def __init__(
        self, app: App, *, limits: Limits, tokens: Tokens | None, metrics: Metrics,
        opened: Container[str] = (), prefix: str = "", admission: Admission | None = None,
    ) -> None:  # fmt: skip
        self._app = app
        self._limits = limits
        self._tokens = tokens
        self._metrics = metrics
        self._opened, self._prefix = opened, prefix
        self._mark = ProbeMark()
        self.admission = admission or Admission(limits, metrics)
        self._log = structlog.get_logger("facemodels.serving")

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        given, scope = scope["method"], normalised(scope, self._prefix)
        headers = dict(scope["headers"])
        request_id = identify(headers)
        scope.setdefault("state", {})["request_id"] = request_id
        path = scope["path"]
        client = scope["state"]["client"] = client_address(scope)
        needed = None if path in self._opened else needed_scope(scope["method"], path)
        predicts = is_prediction(scope["method"], scope["path"])
        probe = scope["state"]["probe"] = self._mark.on(headers)
        body = RequestBody(receive, headers, self._limits.body_bytes)
        response = ResponseWriter(send, request_id, body)
        status = await self._answer(scope, headers, body, response, needed, predicts=predicts)
        if predicts:
            self._metrics.count(outcome(status), probe=probe, sampled=self._is_sampled(scope))
            if status < 400 and not probe:
                self._metrics.feedback.answered(request_id, scope["state"].get("decided"))
        self._log.info(
            "request",
            request_id=request_id,
            method=given,
            path=printable(scope["path"], status),
            status=status,
            ms=round((time.perf_counter() - start) * 1e3, 3),
            client=client,
            **traced(headers),
            **scope["state"].get("holder", {}),
            **scope["state"].get("logged", {}),  # what the endpoint adds
        )

    def _is_sampled(self, scope: MutableMapping[str, Any]) -> bool:
        """Whether a prediction is in the sample of one a client, once and for all."""
        state = scope["state"]
        if "sampled" not in state:
            who = state.get("holder", {}).get("holder") or state["client"] or ""
            state["sampled"] = not state["probe"] and self._metrics.clients.takes(who)
        return bool(state["sampled"])

    async def _answer(
        self, scope: MutableMapping[str, Any], headers: Mapping[bytes, bytes], body: RequestBody,
        response: ResponseWriter, needed: Scope | None, *, predicts: bool,
    ) -> int:  # fmt: skip
        """Answer whatever happens; returns the status for the log and the metrics."""
        problem = None
        client = ClientWatch(scope)
        allowed_s = self._limits.body_s if predicts else self._limits.deadline_s
        try:
            async with client, asyncio.timeout(allowed_s) as deadline:
                require_host(scope)
                if self._tokens is not None:
                    holder = authorise(self._tokens, headers, needed)
                    scope["state"]["holder"] = {"holder": holder} if holder else {}
                if predicts:
                    await self._predict(scope, body, response, deadline)
                else:
                    await self._app(scope, body.receive, response)
        except RequestError as error:
            problem = error
        except Disconnected:
            return _CLIENT_LEFT
        except asyncio.CancelledError:
            if client.left:
                return _CLIENT_LEFT
            self._log.warning("given up", request_id=response.request_id)
            problem = _ENDING
        except Exception as error:  # noqa: BLE001  (the client must not see what went wrong here)
            late = isinstance(error, TimeoutError) and deadline.expired()
            problem = (_SLOW if body.pending else _LATE) if late else _FAILED
            if not late:
                self._log.exception("failed", request_id=response.request_id)
        if problem is not None:
            await response.send_error(problem)
        await response.end()
        return problem.status if problem else response.status

    async def _predict(
        self, scope: MutableMapping[str, Any], body: RequestBody, response: ResponseWriter,
        deadline: asyncio.Timeout,
    ) -> None:  # fmt: skip
        """Read the body and answer, within the limits of the queue and of the buffered bodies.

        A request takes a place in the queue only when its body is complete, so that a client that
        sends slowly does not keep others out. Its deadline begins then: how long a body takes is
        no matter of the model.

        Raises:
            RequestError: 413 for a body that is too large, 503 if there is no room.
            Disconnected: the client left.
        """
        admission = self.admission
        await admission.room()
        try:
            await body.read(admission.buffer)
            deadline.reschedule(asyncio.get_running_loop().time() + self._limits.deadline_s)
            await admission.room()
            admission.enter()
            start = time.perf_counter()
            try:
                await self._app(scope, body.receive, response)
            finally:
                admission.leave()
            if not scope["state"]["probe"]:
                taken = time.perf_counter() - start
                self._metrics.answered(taken, sampled=self._is_sampled(scope))
        finally:
            admission.buffer(-body.admitted)


def outcome(status: int) -> str:
    """The value of the metric's label `status` for a prediction with this HTTP status."""
    if status < 400:
        return "success"
    if status in (_SLOW.status, _CLIENT_LEFT):
        return "abandoned"
    return RequestError(status, "", "").outcome


def printable(path: str, status: int) -> str:
    """The path as it is logged: `unknown` unless it is an address of the server; no person."""
    return without_person(path) if status != 404 and is_ours(path) else "unknown"


def identify(headers: Mapping[bytes, bytes]) -> str:
    """The request's id: the client's `X-Request-Id` if it is a plain word, else a new one."""
    given = headers.get(b"x-request-id", b"")
    return given.decode() if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex

"""Answers to web pages of other origins, where the settings name them."""

from __future__ import annotations

import uuid
from typing import Any

import structlog
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

_MAX_AGE_S = 600
_ASKED = ("authorization", "content-type", "content-encoding", "traceparent", "x-request-id")
_SHOWN = ("x-request-id", "retry-after", "inference-header-content-length")


class CrossOrigin(CORSMiddleware):
    """Starlette's middleware, whose answers to preflights carry an id and stand in the log.

    A preflight has no token: a browser sends none with it.

    Args:
        app: the application.
        origins: the origins whose pages may ask, such as `https://app.example.org`; `*` for all.
    """

    def __init__(self, app: Any, origins: tuple[str, ...]) -> None:
        super().__init__(
            app, allow_origins=origins, allow_methods=("GET", "HEAD", "POST", "DELETE"),
            allow_headers=(*_ASKED, "inference-header-content-length"), expose_headers=_SHOWN,
            max_age=_MAX_AGE_S,
        )  # fmt: skip

    def preflight_response(self, request_headers: Headers) -> Response:
        """Whether the page may ask: 200, or 400 with the reason."""
        response = super().preflight_response(request_headers)
        request_id = uuid.uuid4().hex
        response.headers["x-request-id"] = request_id
        response.headers["x-content-type-options"] = "nosniff"
        structlog.get_logger("facemodels.serving").info(
            "request", request_id=request_id, method="OPTIONS", status=response.status_code
        )
        return response

"""Bodies of requests, and JSON as an answer."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import Request, Response

from facemodels.serving.http.errors import RequestError


async def read_body(request: Request) -> bytes:
    """The body; the gate has taken it in, within its limit, before an endpoint is called.

    Raises:
        RequestError: 415 for a compressed body.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise RequestError(415, "unsupported_encoding", "Send the body as it is, not compressed.")
    return await request.body()


def media_type(request: Request) -> str:
    """The content type without its parameters, in lower case; empty if there is none."""
    return request.headers.get("content-type", "").split(";", 1)[0].strip().lower()


def json_response(value: Any, status: int = 200) -> Response:
    """A value as JSON; NumPy's numbers and arrays included."""
    data = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(data, status_code=status, media_type="application/json")

"""The body of a request that has arrived, its media type, and JSON as an answer."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import Request, Response

from facemodels.serving.http.errors import RequestError


async def read_body(request: Request) -> bytes:
    """The body of a request.

    The request middleware has read it, within its limit, before an endpoint is called.

    Raises:
        RequestError: 415 for a compressed body.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise RequestError(415, "unsupported_encoding", "Send the body as it is, not compressed.")
    return await request.body()


def media_type(content_type: str) -> str:
    """The media type in a `Content-Type` header: in lower case, without its parameters."""
    return content_type.split(";", 1)[0].strip().lower()


def json_response(value: Any, status: int = 200) -> Response:
    """A response with a value as JSON; NumPy's numbers and arrays may be in it."""
    data = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(data, status_code=status, media_type="application/json")

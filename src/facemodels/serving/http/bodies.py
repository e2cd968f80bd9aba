"""The body of a request that has arrived, its media type, and JSON as an answer."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import Request, Response

_ALIASES = {
    "image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-ms-bmp": "image/bmp",
    "image/x-png": "image/png",
}  # fmt: skip


async def read_body(request: Request) -> bytes:
    """The body of a request.

    The request middleware has read and expanded it, within its limit, before an endpoint is called.
    """
    return await request.body()


def media_type(content_type: str) -> str:
    """The media type in a `Content-Type` header: in lower case, without its parameters.

    The names that some clients give to JPEG are read as `image/jpeg`.
    """
    found = content_type.split(";", 1)[0].strip().lower()
    return _ALIASES.get(found, found)


def json_response(value: Any, status: int = 200) -> Response:
    """A response with a value as JSON; NumPy's numbers and arrays may be in it."""
    data = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(data, status_code=status, media_type="application/json")

"""Reading bodies within their limit, and writing JSON."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import Request, Response

from facemodels.serving.problems import RequestError
from facemodels.serving.settings import Limits


async def read_body(request: Request, limits: Limits) -> bytes:
    """The body, as long as it keeps within the limit.

    Raises:
        RequestError: 413, before more than the limit was read.
    """
    too_large = RequestError(413, "body_too_large", f"At most {limits.body_bytes} bytes a request.")
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > limits.body_bytes:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limits.body_bytes:
            raise too_large
    return bytes(body)


def json_response(value: Any, status: int = 200) -> Response:
    """A value as JSON; NumPy's numbers and arrays included."""
    data = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(data, status_code=status, media_type="application/json")

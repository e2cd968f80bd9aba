"""What holds for every answer, whatever was sent."""

from __future__ import annotations

import re

import httpx

REFUSALS = frozenset({400, 401, 403, 404, 405, 409, 413, 415, 422, 503, 504})
_LEAKS = re.compile(
    r"Traceback|File \"|/(?:work|home|usr|root|tmp|site-packages|var)/|site-packages|\.py\b|0x[0-9a-f]{6}"
    r"|Pillow|PIL|numpy|orjson|onnx|uvicorn|starlette|fastapi|python|dlib\.|pybind|Error\(|Exception",
    re.IGNORECASE,
)


def check(answer: httpx.Response) -> None:
    """An answer has a request id; an error is JSON and says nothing of the server's inside."""
    assert answer.headers["x-request-id"]
    assert "server" not in answer.headers
    if answer.status_code == 200:
        return
    assert answer.status_code in REFUSALS, (answer.status_code, answer.text[:300])
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    details = {"field", "value", "limit"} if answer.status_code == 422 else set()
    assert body.keys() - details == {"error", "code", "request_id"}
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["error"][0] != " "
    assert len(body["error"]) < 400
    assert not _LEAKS.search(body["error"] + body["code"]), body

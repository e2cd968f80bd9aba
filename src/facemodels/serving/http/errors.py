"""The error that ends a request, and how it is told to the client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class RequestError(Exception):
    """A request cannot be answered as it was asked.

    This is no `FacemodelsError`. Those end a command and become its exit code; this one is the
    client's fault or the server's load, becomes an HTTP status, and never leaves the server.

    Attributes:
        status: the HTTP status.
        code: a word for programs.
        text: a sentence for people. It names what was wrong, and nothing of the server's inside.
        headers: further headers of the answer.
        details: further fields of the answer, for programs.
    """

    def __init__(
        self,
        status: int,
        code: str,
        text: str,
        headers: Mapping[str, str] | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        self.status = status
        self.code = code
        self.text = text
        self.headers = dict(headers or {})
        self.details = dict(details or {})
        super().__init__(text)

    @property
    def outcome(self) -> str:
        """The value of the metric's label `status` under which this error is counted."""
        if self.status == 504:
            return "timeout"
        if self.status == 503:
            return "rejected"
        return "invalid" if self.status < 500 else "error"

    def body(self, request_id: str) -> dict[str, Any]:
        """The body of the answer. The Open Inference Protocol requires only its `error`."""
        return {
            "error": self.text,
            "code": self.code,
            "request_id": request_id,
            **self.details,
        }

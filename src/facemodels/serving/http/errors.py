"""What a client is told when a request cannot be answered: a word, a sentence, never a trace."""

from __future__ import annotations

from typing import Any


class RequestError(Exception):
    """A request that ends without an answer.

    Attributes:
        status: of HTTP.
        code: a word for programs.
        text: a sentence for people; it names what was wrong and nothing of the server.
        headers: further headers of the answer.
    """

    def __init__(
        self, status: int, code: str, text: str, headers: dict[str, str] | None = None
    ) -> None:
        self.status = status
        self.code = code
        self.text = text
        self.headers = headers or {}
        super().__init__(text)

    @property
    def outcome(self) -> str:
        """The label of the metric that counts it."""
        if self.status == 504:
            return "timeout"
        if self.status == 503:
            return "rejected"
        return "invalid" if self.status < 500 else "error"

    def body(self, request_id: str) -> dict[str, Any]:
        """The answer. `error` alone is what the Open Inference Protocol asks for."""
        return {"error": self.text, "code": self.code, "request_id": request_id}

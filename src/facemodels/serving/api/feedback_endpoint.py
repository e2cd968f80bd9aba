"""`POST /api/feedback`: what a user says of an answer, by the id of its request."""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Request, Response
from pydantic import Field, ValidationError

from facemodels.params import Frozen
from facemodels.routes import FEEDBACK
from facemodels.serving.feedback import Feedback, Refusal, Verdict
from facemodels.serving.http.bodies import json_response
from facemodels.serving.http.errors import RequestError
from facemodels.serving.http.openapi import FLAG, TEXT, Operation, add_endpoint, content, operation
from facemodels.serving.http.openapi import record as object_of
from facemodels.serving.settings import Serving

_MOST_BYTES = 4096
_REFUSALS: dict[Refusal, tuple[int, str]] = {
    "unknown": (404, "This server gave no such answer, or not lately."),
    "repeated": (409, "This answer was judged already."),
    "undecided": (400, "The answer is no decision; give a score."),
    "too_many": (429, "This client has judged enough for an hour."),
}


class FeedbackGiven(Frozen):
    """The body of a request.

    Attributes:
        request_id: `x-request-id` of the answer that is judged.
        score: how content the user is.
        verdict: whether the decision was right.
    """

    request_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    score: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    verdict: Verdict | None = None


def add_feedback(app: FastAPI, feedback: Feedback, settings: Serving, *, secured: bool) -> None:
    """Add the endpoint to an application.

    Args:
        app: the application.
        feedback: where opinions are counted.
        settings: how many count of one client.
        secured: whether the server asks for tokens.
    """

    async def judge(request: Request) -> Response:
        given = await _read(request)
        state = request.state
        client = getattr(state, "holder", {}).get("holder") or getattr(state, "client", None)
        refusal = feedback.judge(
            given.request_id, client or "unknown", score=given.score, verdict=given.verdict,
            per_hour=settings.limits.feedback,
        )  # fmt: skip
        if refusal is not None:
            status, text = _REFUSALS[refusal]
            raise RequestError(status, f"feedback_{refusal}", text)
        return json_response({"counted": True})

    judge.__name__ = "feedback"
    add_endpoint(app, FEEDBACK, judge, _document(secured=secured))


async def _read(request: Request) -> FeedbackGiven:
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > _MOST_BYTES:
            raise RequestError(413, "body_too_large", f"At most {_MOST_BYTES} bytes.")
    try:
        given = FeedbackGiven.model_validate_json(data)
    except ValidationError as error:
        text = "Send JSON with request_id, and score from 0 to 1 or verdict right or wrong."
        raise RequestError(400, "wrong_feedback", text) from error
    if (given.score is None) == (given.verdict is None):
        raise RequestError(400, "wrong_feedback", "Give score or verdict, and not both.")
    return given


def _document(*, secured: bool) -> Operation:
    schema = object_of(
        request_id=TEXT,
        score={"type": "number", "minimum": 0, "maximum": 1},
        verdict={"type": "string", "enum": ["right", "wrong"]},
        optional=("score", "verdict"),
    )
    example = {"request_id": "5f0c1d8a", "verdict": "wrong"}
    return operation(
        FEEDBACK, "Judge an answer by the id of its request", object_of(counted=FLAG),
        {"counted": True}, 400, 404, 409, 413, 429, secured=secured,
        extra={"requestBody": {"required": True, "content": content(schema, example)}},
    )  # fmt: skip

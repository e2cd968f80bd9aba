"""Parts of the OpenAPI document that the endpoints of `/api` and `/v2` share.

An operation documents only the statuses that it can answer: 401 and 403 where the server asks
for tokens, and each other status where a request can bring it about. 500 is documented nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Any

from fastapi import FastAPI, Request, Response

from facemodels.routes import PAGE, Endpoint
from facemodels.serving.http.errors import RequestError

# Keyword arguments of FastAPI's `add_api_route`.
Operation = dict[str, Any]
Schema = Mapping[str, Any]
TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
INTEGER: Schema = {"type": "integer"}
FLAG: Schema = {"type": "boolean"}
BINARY: Schema = {"type": "string", "format": "binary"}
_ERRORS: Mapping[int, tuple[str, str]] = {
    400: ("wrong_parameter", "A parameter, a tensor or the form is wrong"),
    401: ("unauthenticated", "No bearer token that is known"),
    403: ("forbidden", "The token lacks the scope"),
    404: ("not_found", "Another model or version, or no such gallery or person"),
    408: ("body_timeout", "The body took too long"),
    409: ("other_space", "The gallery has other embedding spaces only, or a face another name"),
    413: ("body_too_large", "Too many bytes, pixels, images or rows"),
    415: ("unsupported_media_type", "Not a type of body that is taken here, or a compressed one"),
    429: ("feedback_too_many", "Enough of one client for an hour"),
    422: ("undecodable_image", "An image cannot be decoded"),
    503: ("overloaded", "Overloaded: come back after Retry-After seconds"),
    504: ("deadline", "The answer took too long"),
}


def record(
    given: Mapping[str, Schema] | None = None,
    /,
    *,
    optional: tuple[str, ...] = (),
    **further: Schema,
) -> dict[str, Any]:
    """The schema of an object.

    Args:
        given: schemas of properties by name.
        optional: names of the properties that may be absent.
        further: more schemas of properties.
    """
    properties = {**(given or {}), **further}
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": properties}


def listing(items: Schema, *, least: int = 0, most: int | None = None) -> dict[str, Any]:
    """The schema of an array of `least` to `most` items."""
    bounds = {"minItems": least, **({"maxItems": most} if most is not None else {})}
    return {"type": "array", "items": items, **bounds}


def content(schema: Schema, example: Any = None) -> dict[str, Any]:
    """The description of a JSON body."""
    given = {} if example is None else {"example": example}
    return {"application/json": {"schema": schema, **given}}


def operation(
    endpoint: Endpoint,
    summary: str,
    schema: Schema,
    example: Any,
    *errors: int,
    secured: bool,
    extra: Any = None,
) -> Operation:
    """Document an endpoint that answers JSON.

    Args:
        endpoint: the address.
        summary: one line on what it does.
        schema: the schema of its answer.
        example: an example of its answer.
        errors: the statuses of its errors, besides those of the access check.
        secured: whether the server asks for tokens.
        extra: further fields of the operation.
    """
    secured = secured and endpoint.scope is not None
    statuses = {400, *((401, 403) if secured else ()), *errors}
    access: dict[str, Any] = {"security": [{"bearer": []}]} if secured else {}
    return {
        "summary": summary,
        "response_class": Response,  # without it FastAPI documents an answer of its own
        "responses": {
            200: {"description": "The answer", "content": content(schema, example)},
            **{status: _error(status) for status in sorted(statuses)},
        },
        "openapi_extra": {**access, **(extra or {})},
    }


def add_endpoint(
    app: FastAPI,
    endpoint: Endpoint,
    function: Callable[..., Any],
    documented: Operation,
    **parameters: str,
) -> None:
    """Add an endpoint to an application.

    Args:
        app: the application.
        endpoint: the address.
        function: what answers its requests.
        documented: what `operation` gives.
        parameters: values of parameters in the path that the application fixes.
    """
    path = endpoint.path.format(**parameters) if parameters else endpoint.path
    asked = documented.get("openapi_extra", {}).get("parameters", ())
    known = frozenset(one["name"] for one in asked if one["in"] == "query")
    strict = _strict(function, known) if endpoint.path != PAGE.path else function
    app.add_api_route(path, strict, methods=[endpoint.method], **documented)


def _strict(function: Callable[..., Any], known: frozenset[str]) -> Callable[[Request], Any]:
    """An endpoint that refuses parameters of the query that it has not, or that come twice.

    One that is misspelt would be ignored, and the answer be to another question.
    """
    takes = bool(signature(function).parameters)

    @wraps(function)
    async def answer(request: Request) -> Any:
        given = [name for name, _ in request.query_params.multi_items()]
        if len(given) != len(set(given)):
            raise RequestError(400, "wrong_parameter", "A parameter is given more than once.")
        if set(given) - known:
            text = (
                f"Parameters here: {', '.join(sorted(known))}." if known else "No parameters here."
            )
            raise RequestError(400, "unknown_parameter", text)
        return await (function(request) if takes else function())

    answer.__signature__ = Signature(  # type: ignore[attr-defined]  # FastAPI reads it
        [Parameter("request", Parameter.POSITIONAL_OR_KEYWORD, annotation=Request)]
    )
    return answer


def _error(status: int) -> dict[str, Any]:
    code, description = _ERRORS[status]
    schema = record(error=TEXT, code=TEXT, request_id=TEXT)
    example = {"error": f"{description}.", "code": code, "request_id": "5f0c1d8a"}
    made: dict[str, Any] = {"description": description, "content": content(schema, example)}
    if status == 503:
        made["headers"] = {"Retry-After": {"description": "Seconds", "schema": TEXT}}
    if status in (401, 403):
        made["headers"] = {"WWW-Authenticate": {"required": True, "schema": TEXT}}
    return made

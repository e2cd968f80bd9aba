"""What /openapi.json says of the endpoints of `/api`, with examples of the model that answers.

Only what can happen is documented: 401 and 403 where tokens are asked for, and each status
where a request can bring it about. 500 is none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Response

from facemodels.serving.api.images import FIELD, FORM, RAW

DESCRIPTION = """\
One version of one face model. Images are JPEG, PNG, WebP or BMP; boxes and points are pixels of
the image as it is displayed (EXIF orientation applied). Every answer has `x-request-id`; every
error is JSON with `error`, `code` and `request_id`. Long arrays of examples are abridged."""
PAGE_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'"
)
Route = dict[str, Any]
Schema = Mapping[str, Any]
TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
_INTEGER: Schema = {"type": "integer"}
_BINARY: Schema = {"type": "string", "format": "binary"}
_NUMBER_TEXT = r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?"
_PROBLEMS: Mapping[int, tuple[str, str]] = {
    400: ("wrong_parameter", "A parameter, a tensor or the form is wrong"),
    401: ("unauthenticated", "No bearer token that is known"),
    403: ("forbidden", "The token lacks the scope"),
    404: ("no_such_model", "Another model or version"),
    413: ("body_too_large", "Too many bytes, pixels, images or rows"),
    415: ("unsupported_media_type", "Not a type of body that is taken here, or a compressed one"),
    422: ("undecodable_image", "An image cannot be decoded"),
    503: ("busy", "Busy: come back after Retry-After seconds"),
    504: ("deadline", "The answer took too long"),
}


def record(
    given: Mapping[str, Schema] | None = None,
    /,
    *,
    optional: tuple[str, ...] = (),
    **further: Schema,
) -> dict[str, Any]:
    """Schema of an object with the properties given and further ones."""
    properties = {**(given or {}), **further}
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": properties}


def listing(items: Schema, *, least: int = 0, most: int | None = None) -> dict[str, Any]:
    """Schema of an array."""
    bounds = {"minItems": least, **({"maxItems": most} if most is not None else {})}
    return {"type": "array", "items": items, **bounds}


def content(schema: Schema, example: Any = None) -> dict[str, Any]:
    """JSON content."""
    given = {} if example is None else {"example": example}
    return {"application/json": {"schema": schema, **given}}


def route(
    summary: str, schema: Schema, example: Any, *problems: int, secured: bool, extra: Any = None
) -> Route:
    """Arguments of a route that gives JSON.

    Args:
        summary: of the endpoint.
        schema: of the answer.
        example: of the answer.
        problems: statuses of its errors, besides those of access.
        secured: whether it needs a token.
        extra: further fields of the operation.
    """
    statuses = (*((401, 403) if secured else ()), *problems)
    access: dict[str, Any] = {"security": [{"bearer": []}]} if secured else {}
    return {
        "summary": summary,
        "response_class": Response,  # or FastAPI documents an answer of its own
        "responses": {
            200: {"description": "The answer", "content": content(schema, example)},
            **{status: _problem(status) for status in sorted(statuses)},
        },
        "openapi_extra": {**access, **(extra or {})},
    }


def info(*, secured: bool) -> Route:
    """Of /api/model/info."""
    nullable = {"type": ["string", "null"]}
    schema = record(
        model_id=TEXT, name=TEXT, version=TEXT, status=nullable, created_at=TEXT,
        deployed_at=nullable, storage_path=nullable, metrics={"type": "object"},
        tags=listing(TEXT), parent_version=nullable, changelog=TEXT, task=TEXT,
        variant=nullable, architecture=TEXT, threshold={"type": ["number", "null"]},
        embedding_space=nullable, package_digest={**TEXT, "pattern": "^sha256:[0-9a-f]{64}$"},
        uptime_seconds={**NUMBER, "minimum": 0},
    )  # fmt: skip
    return route("Which version answers", schema, None, secured=secured)


def metrics(*, secured: bool) -> Route:
    """Of /metrics."""
    made = route("For Prometheus", TEXT, None, secured=secured)
    made["responses"][200] = {
        "description": "Prometheus text format",
        "content": {"text/plain": {"schema": TEXT}},
    }
    return made


def ability(name: str, *, model: str, version: str, secured: bool) -> Route:
    """Of one ability of /api."""
    summary, answer, example, parameters = _ABILITIES[name]
    schema = record(answer, model_name={"const": model}, model_version={"const": version})
    extra = {
        "parameters": parameters,
        "requestBody": _images(two=name == "verify"),
        "x-codeSamples": [{"lang": "Shell", "source": _curl(name)}],
    }
    return route(
        summary, schema, {"model_name": model, "model_version": version, **example},
        400, 413, 415, 422, 503, 504, secured=secured, extra=extra,
    )  # fmt: skip


def _problem(status: int) -> dict[str, Any]:
    code, description = _PROBLEMS[status]
    schema = record(error=TEXT, code=TEXT, request_id=TEXT)
    example = {"error": f"{description}.", "code": code, "request_id": "5f0c1d8a"}
    made: dict[str, Any] = {"description": description, "content": content(schema, example)}
    if status == 503:
        made["headers"] = {"Retry-After": {"description": "Seconds", "schema": TEXT}}
    if status in (401, 403):
        made["headers"] = {"WWW-Authenticate": {"required": True, "schema": TEXT}}
    return made


def _images(*, two: bool) -> dict[str, Any]:
    """One image as the body, or several as a form."""
    count = {"least": 2, "most": 2} if two else {"least": 1}
    form = {"schema": {**record({FIELD: listing(_BINARY, **count)}), "additionalProperties": False}}
    raw = {} if two else {kind: {"schema": _BINARY} for kind in RAW}
    return {"required": True, "content": {**raw, FORM: form}}


def _curl(name: str) -> str:
    if name == "verify":
        return f"curl -F {FIELD}=@one.jpg -F {FIELD}=@other.jpg $SERVER/api/verify"
    return f"curl -H 'content-type: image/jpeg' --data-binary @face.jpg $SERVER/api/{name}"


_SIZE: Mapping[str, Schema] = {"width": _INTEGER, "height": _INTEGER}
_NUMBERS = listing(NUMBER)
_RECTANGLE = listing(NUMBER, least=4, most=4)
_POINT = listing(NUMBER, least=2, most=2)
_THRESHOLD: Schema = {
    "name": "threshold", "in": "query", "required": False, "example": 0.5,
    "description": "Instead of the package's own",
    "schema": {"type": "number", "minimum": -1, "maximum": 1},
}  # fmt: skip
_BOX: Schema = {
    "name": "box", "in": "query", "required": False, "example": "10,10,60,60",
    "description": "The face in each image: x0,y0,x1,y1 in pixels; the whole image if left out",
    "schema": {"type": "string", "pattern": f"^{_NUMBER_TEXT}(,{_NUMBER_TEXT}){{3}}$"},
}  # fmt: skip
_FACE = record(box=_RECTANGLE, score=NUMBER)
# summary, schema of the answer, example of it, parameters
_ABILITIES: Mapping[str, tuple[str, dict[str, Schema], dict[str, Any], list[Schema]]] = {
    "detect": (
        "Find faces",
        {"threshold": NUMBER, "results": listing(record(_SIZE, faces=listing(_FACE)))},
        {
            "threshold": 0.5,
            "results": [
                {
                    "width": 640, "height": 480,
                    "faces": [{"box": [101.5, 80.0, 212.0, 215.5], "score": 0.93}],
                }
            ],
        },
        [_THRESHOLD],
    ),
    "landmarks": (
        "Fit 68 points to a face",
        {"results": listing(record(_SIZE, box=_RECTANGLE, points=listing(_POINT)))},
        {
            "results": [
                {"width": 90, "height": 70, "box": [10, 10, 60, 60], "points": [[12.0, 24.0]]}
            ]
        },
        [_BOX],
    ),
    "embed": (
        "Embed aligned face crops",
        {
            "embedding_space": {"type": ["string", "null"]},
            "results": listing(record(embedding=_NUMBERS)),
        },
        {"embedding_space": "recognition-facenet-0123", "results": [{"embedding": [0.02, -0.01]}]},
        [],
    ),
    "verify": (
        "Say whether two face crops are of one person",
        {"similarity": NUMBER, "threshold": NUMBER, "same_person": {"type": "boolean"}},
        {"similarity": 0.81, "threshold": 0.5, "same_person": True},
        [_THRESHOLD],
    ),
}  # fmt: skip

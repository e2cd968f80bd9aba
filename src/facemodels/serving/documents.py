"""What /openapi.json says of each endpoint, with examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from facemodels.serving.images import FORM, RAW
from facemodels.serving.tensors import Spec

DESCRIPTION = """\
One version of one face model. Images are JPEG, PNG, WebP or BMP; boxes and points are pixels of
the image as it is displayed (EXIF orientation applied). Every answer has `x-request-id`."""
PAGE_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'"
)
_ERROR = {
    "type": "object",
    "required": ["error", "code", "request_id"],
    "properties": {
        "error": {"type": "string"},
        "code": {"type": "string"},
        "request_id": {"type": "string"},
    },
    "example": {
        "error": "image: broken or truncated JPEG data.",
        "code": "undecodable_image",
        "request_id": "5f0c1d8a",
    },
}
_PROBLEMS = {
    400: "A parameter or the form is wrong",
    401: "No bearer token that is known",
    403: "The token lacks the scope",
    413: "Too many bytes, pixels or images",
    415: "Not a type of image",
    422: "An image cannot be decoded",
    500: "The server failed",
    503: "Busy: come back after Retry-After seconds",
    504: "The answer took too long",
}
_NUMBERS = {"type": "array", "items": {"type": "number"}}
_SIZE = {"width": {"type": "integer"}, "height": {"type": "integer"}}
_THRESHOLD = {
    "name": "threshold",
    "in": "query",
    "required": False,
    "description": "Instead of the package's own",
    "schema": {"type": "number", "minimum": -1, "maximum": 1},
}
_BOX = {
    "name": "box",
    "in": "query",
    "required": False,
    "description": "The face: x0,y0,x1,y1 in pixels; the whole image if left out",
    "schema": {"type": "string"},
    "example": "10,10,110,110",
}
_ABILITIES: Mapping[str, tuple[str, dict[str, Any], list[dict[str, Any]], dict[str, Any]]] = {
    "detect": (
        "Find faces",
        {
            "threshold": {"type": "number"},
            "results": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        **_SIZE,
                        "faces": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "properties": {"box": _NUMBERS, "score": {"type": "number"}},
                            },
                        },
                    },
                },
            },
        },
        [_THRESHOLD],
        {
            "threshold": 0.37,
            "results": [
                {
                    "width": 640,
                    "height": 480,
                    "faces": [{"box": [101.5, 80.0, 212.0, 215.5], "score": 0.93}],
                }
            ],
        },
    ),
    "landmarks": (
        "Fit 68 points to a face",
        {
            "results": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        **_SIZE,
                        "box": _NUMBERS,
                        "points": {"type": "array", "items": _NUMBERS},
                    },
                },
            }
        },
        [_BOX],
        {
            "results": [
                {"width": 160, "height": 160, "box": [0, 0, 160, 160], "points": [[31.0, 60.0]]}
            ]
        },
    ),
    "embed": (
        "Embed aligned face crops",
        {
            "embedding_space": {"type": ["string", "null"]},
            "results": {
                "type": "array",
                "items": {"type": "object", "properties": {"embedding": _NUMBERS}},
            },
        },
        [],
        {"embedding_space": "recognition-facenet-0123", "results": [{"embedding": [0.02, -0.01]}]},
    ),
    "verify": (
        "Say whether two face crops are of one person",
        {
            "similarity": {"type": "number"},
            "threshold": {"type": "number"},
            "same_person": {"type": "boolean"},
        },
        [_THRESHOLD],
        {"similarity": 0.81, "threshold": 0.72, "same_person": True},
    ),
}


def ability(name: str) -> dict[str, Any]:
    """Arguments of the route of one ability."""
    summary, properties, parameters, example = _ABILITIES[name]
    schema = {
        "type": "object",
        "properties": {
            "model_name": {"type": "string"}, "model_version": {"type": "string"}, **properties
        },
    }  # fmt: skip
    answer = {"model_name": "recognition-facenet", "model_version": "2.1.3", **example}
    return {
        "summary": summary,
        "responses": {
            200: {
                "description": "The answer",
                "content": {"application/json": {"schema": schema, "example": answer}},
            },
            **problems(),
        },
        "openapi_extra": {"parameters": parameters, "requestBody": _images(several=name)},
    }


def _images(*, several: str) -> dict[str, Any]:
    one = {"schema": {"type": "string", "format": "binary"}}
    form = {
        "schema": {
            "type": "object",
            "properties": {
                "image": {"type": "array", "items": {"type": "string", "format": "binary"}}
            },
            "required": ["image"],
        }
    }
    raw = {} if several == "verify" else dict.fromkeys(RAW, one)
    return {"required": True, "content": {**raw, FORM: form}}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """How requests fail: the statuses given, or all."""
    content = {"application/json": {"schema": _ERROR}}
    return {
        status: {"description": text, "content": content}
        for status, text in _PROBLEMS.items()
        if not statuses or status in statuses
    }


INFO: dict[str, Any] = {
    "summary": "Which version answers",
    "responses": {
        200: {
            "description": "The registry's fields, the package's digest, the uptime",
            "content": {
                "application/json": {
                    "schema": {"type": "object"},
                    "example": {
                        "model_id": "rec-facenet-v2.1.3",
                        "name": "recognition-facenet",
                        "version": "2.1.3",
                        "status": "production",
                        "package_digest": "sha256:45cf…",
                        "uptime_seconds": 12.5,
                    },
                }
            },
        },
        **problems(401, 403),
    },
}
METRICS: dict[str, Any] = {
    "summary": "For Prometheus",
    "responses": {
        200: {
            "description": "Prometheus text format",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
        **problems(401, 403),
    },
}


def _plain(summary: str, example: Any, *statuses: int) -> dict[str, Any]:
    """A route that gives JSON."""
    content = {"application/json": {"schema": {"type": "object"}, "example": example}}
    return {
        "summary": summary,
        "responses": {
            200: {"description": "The answer", "content": content},
            **problems(*(statuses or (401, 403))),
        },
    }


OIP_SERVER = _plain("What server this is", {"name": "facemodels", "version": "0.1.0"})
OIP_LIVE = _plain("Whether the process answers", {"live": True}, 500)
OIP_READY = {
    **_plain("Whether the server wants requests", {"ready": True}, 500),
}
OIP_READY["responses"] = {
    **OIP_READY["responses"],
    503: {
        "description": "Not yet, or no more",
        "content": {"application/json": {"schema": {"type": "object"}}},
    },
}


def oip_metadata(kind: str) -> dict[str, Any]:
    """Arguments of the route of a model's metadata."""
    route = _plain("Inputs and outputs", {"name": "recognition-facenet"}, 401, 403, 404, 422)
    return {**route, "operation_id": f"{kind}_metadata", "methods": ["GET"]}


def oip_ready(kind: str) -> dict[str, Any]:
    """Arguments of the route of a model's readiness."""
    example = {"name": "recognition-facenet", "ready": True}
    route = _plain("Whether the model wants requests", example, 401, 403, 404, 422, 503)
    return {**route, "operation_id": f"{kind}_ready", "methods": ["GET"]}


def oip_infer(kind: str, inputs: Sequence[Spec]) -> dict[str, Any]:
    """Arguments of the route of inference."""
    tensor = {
        "type": "object",
        "required": ["name", "shape", "datatype"],
        "properties": {
            "name": {"type": "string", "enum": [spec.name for spec in inputs]},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}},
            "datatype": {"type": "string", "enum": sorted({spec.datatype for spec in inputs})},
            "parameters": {"type": "object"},
            "data": {"type": "array", "items": {}},
        },
    }
    schema = {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "parameters": {"type": "object"},
            "inputs": {"type": "array", "items": tensor},
            "outputs": {"type": "array", "items": {"type": "object"}},
        },
    }
    example = {
        "inputs": [
            {**spec.as_json(), "shape": [abs(n) for n in spec.shape], "data": [0.0]}
            for spec in inputs
        ]
    }
    answer = {"model_name": "recognition-facenet", "model_version": "2.1.3", "outputs": []}
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {
        **_plain("Run the model on tensors", answer, 400, 401, 403, 404, 413, 422, 500, 503, 504),
        "operation_id": f"{kind}_infer",
        "openapi_extra": {
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {"schema": schema, "example": example},
                    "application/octet-stream": binary,
                },
            }
        },
    }

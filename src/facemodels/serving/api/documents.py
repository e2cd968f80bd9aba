"""What /openapi.json says of the endpoints of `/api`, with examples of the model that answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from facemodels.routes import ABILITY, INFO, METRICS, ability_path
from facemodels.serving.api.forms import FIELD, FORM
from facemodels.serving.api.images import RAW
from facemodels.serving.api.points import NUMBER as NUMBER_TEXT
from facemodels.serving.api.system import CHOICES
from facemodels.serving.http.openapi import (
    BINARY,
    INTEGER,
    NUMBER,
    TEXT,
    Operation,
    Schema,
    listing,
    operation,
    record,
)

DESCRIPTION = """\
One version of one face model. Images are JPEG, PNG, WebP or BMP; boxes and points are pixels of
the image as it is displayed (EXIF orientation applied). Every answer has `x-request-id`; every
error is JSON with `error`, `code` and `request_id`. Long arrays of examples are abridged."""


def info(*, secured: bool) -> Operation:
    """Document /api/model/info."""
    nullable = {"type": ["string", "null"]}
    schema = record(
        model_id=TEXT, name=TEXT, version=TEXT, status=nullable, created_at=TEXT,
        deployed_at=nullable, storage_path=nullable, metrics={"type": "object"},
        tags=listing(TEXT), parent_version=nullable, changelog=TEXT, task=TEXT,
        variant=nullable, architecture=TEXT, threshold={"type": ["number", "null"]},
        embedding_space=nullable, package_digest={**TEXT, "pattern": "^sha256:[0-9a-f]{64}$"},
        uptime_seconds={**NUMBER, "minimum": 0},
    )  # fmt: skip
    return operation(INFO, "Which version answers", schema, None, secured=secured)


def metrics(*, secured: bool) -> Operation:
    """Document /metrics."""
    made = operation(METRICS, "For Prometheus", TEXT, None, secured=secured)
    made["responses"][200] = {
        "description": "Prometheus text format",
        "content": {"text/plain": {"schema": TEXT}},
    }
    return made


def ability(name: str, *, task: str, model: str, version: str, secured: bool) -> Operation:
    """Document the endpoint of one ability.

    Args:
        name: the ability, for example `embed`.
        task: the task of the model.
        model: the name of the model that answers.
        version: the version of the model that answers.
        secured: whether the server asks for tokens.
    """
    known = (_OF_SYSTEM if task == "system" else _ABILITIES)[name]
    schema = record(known.answer, model_name={"const": model}, model_version={"const": version})
    extra = {
        "parameters": list(known.parameters),
        "requestBody": _images(two=name == "verify"),
        "x-codeSamples": [{"lang": "Shell", "source": _curl(name)}],
    }
    return operation(
        ABILITY, known.summary, schema,
        {"model_name": model, "model_version": version, **known.example},
        400, 413, 415, 422, 503, 504, secured=secured, extra=extra,
    )  # fmt: skip


def _images(*, two: bool) -> dict[str, Any]:
    """The body of a request: one image as it is, or several as a form."""
    count = {"least": 2, "most": 2} if two else {"least": 1}
    form = {"schema": {**record({FIELD: listing(BINARY, **count)}), "additionalProperties": False}}
    raw = {} if two else {kind: {"schema": BINARY} for kind in RAW}
    return {"required": True, "content": {**raw, FORM: form}}


def _curl(name: str) -> str:
    path = ability_path(name)
    if name == "verify":
        return f"curl -F {FIELD}=@one.jpg -F {FIELD}=@other.jpg $SERVER{path}"
    return f"curl -H 'content-type: image/jpeg' --data-binary @face.jpg $SERVER{path}"


@dataclass(frozen=True)
class _Ability:
    """What the document says of one ability.

    Attributes:
        summary: one line on what it does.
        answer: the schemas of the answer's fields, without the name and version of the model.
        example: an example of those fields.
        parameters: the parameters of the query.
    """

    summary: str
    answer: Mapping[str, Schema]
    example: Mapping[str, Any]
    parameters: tuple[Schema, ...] = ()


_SIZE: Mapping[str, Schema] = {"width": INTEGER, "height": INTEGER}
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
    "schema": {"type": "string", "pattern": f"^{NUMBER_TEXT}(,{NUMBER_TEXT}){{3}}$"},
}  # fmt: skip
_POINTS: Schema = {
    "name": "points", "in": "query", "required": False,
    "example": "38,52,74,52,56,72,42,92,71,92",
    "description": (
        "For photos instead of crops: x,y of the eyes, the nose and the corners of the mouth in "
        "each image, as a detector gives them; images are separated by ;, and one face alone "
        "counts for all. The server aligns the face as the model was measured. A model whose "
        "package names no crop by points refuses them."
    ),
    "schema": {
        "type": "string",
        "pattern": f"^{NUMBER_TEXT}(,{NUMBER_TEXT}){{9}}(;{NUMBER_TEXT}(,{NUMBER_TEXT}){{9}})*$",
        "maxLength": 1024,
    },
}  # fmt: skip
# Five points where the model gives them: eyes, nose, corners of the mouth, from left to right.
_FACE = record(
    box=_RECTANGLE, score=NUMBER, points=listing(_POINT, least=5, most=5), optional=("points",)
)
_ABILITIES: Mapping[str, _Ability] = {
    "detect": _Ability(
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
        (_THRESHOLD,),
    ),
    "landmarks": _Ability(
        "Fit 68 points to a face",
        {"results": listing(record(_SIZE, box=_RECTANGLE, points=listing(_POINT)))},
        {
            "results": [
                {"width": 90, "height": 70, "box": [10, 10, 60, 60], "points": [[12.0, 24.0]]}
            ]
        },
        (_BOX,),
    ),
    "embed": _Ability(
        "Embed face crops, or faces in photos",
        {
            "embedding_space": {"type": ["string", "null"]},
            "results": listing(record(embedding=listing(NUMBER))),
        },
        {"embedding_space": "recognition-facenet-0123", "results": [{"embedding": [0.02, -0.01]}]},
        (_POINTS,),
    ),
    "verify": _Ability(
        "Say whether two faces are of one person",
        {"similarity": NUMBER, "threshold": NUMBER, "same_person": {"type": "boolean"}},
        {"similarity": 0.81, "threshold": 0.5, "same_person": True},
        (_THRESHOLD, _POINTS),
    ),
}  # fmt: skip

_SCORE: Schema = {
    "name": "threshold", "in": "query", "required": False, "example": 0.5,
    "description": "The least score of a face, instead of the system's own",
    "schema": {"type": "number", "minimum": 0, "maximum": 1},
}  # fmt: skip
_FMR: Schema = {
    "name": "fmr", "in": "query", "required": False,
    "description": (
        "The false match rate, where no threshold is given: the threshold is that which gives it "
        "by the system's calibration. A rate that its pairs cannot show is refused."
    ),
    "schema": {"type": "number", "minimum": 0, "maximum": 1},
}  # fmt: skip
_CHOOSE: Schema = {
    "name": "choose", "in": "query", "required": False, "example": "largest",
    "description": (
        "Which face is compared where a photo shows several: the largest one if left out; `all` "
        "takes the two that are most alike, `error` refuses the photo."
    ),
    "schema": {"type": "string", "enum": list(CHOICES)},
}  # fmt: skip
_QUALITY = record(eyes=NUMBER, sharpness=NUMBER)
_WHOLE_FACE = record(
    box=_RECTANGLE, score=NUMBER, points=listing(_POINT, least=5, most=5), quality=_QUALITY
)
_EXAMPLE_FACE: Mapping[str, Any] = {
    "box": [101.5, 80.0, 212.0, 215.5],
    "score": 0.99,
    "points": [[130.1, 125.0], [182.4, 124.2], [157.0, 153.3], [135.6, 182.0], [178.8, 181.5]],
    "quality": {"eyes": 52.3, "sharpness": 310.2},
}
_OF_SYSTEM: Mapping[str, _Ability] = {
    "faces": _Ability(
        "Find and embed every face of each photo",
        {
            "threshold": NUMBER,
            "embedding_space": TEXT,
            "verification": record(threshold=NUMBER, fmr=NUMBER),
            "results": listing(
                record(
                    _SIZE,
                    faces=listing(record(_WHOLE_FACE["properties"], embedding=listing(NUMBER))),
                )
            ),
        },
        {
            "threshold": 0.7,
            "embedding_space": "recognition-dlib-0123",
            "verification": {"threshold": 0.91, "fmr": 0.009},
            "results": [
                {
                    "width": 640, "height": 480,
                    "faces": [{**_EXAMPLE_FACE, "embedding": [0.02, -0.01]}],
                }
            ],
        },
        (_SCORE, _FMR),
    ),
    "verify": _Ability(
        "Say whether two photos show one person",
        {
            "similarity": NUMBER, "threshold": NUMBER, "fmr": NUMBER,
            "same_person": {"type": "boolean"}, "faces": listing(_WHOLE_FACE, least=2, most=2),
        },
        {
            "similarity": 0.95, "threshold": 0.91, "fmr": 0.009, "same_person": True,
            "faces": [_EXAMPLE_FACE, _EXAMPLE_FACE],
        },
        (_THRESHOLD, _FMR, _CHOOSE),
    ),
}  # fmt: skip

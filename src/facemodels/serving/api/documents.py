"""What /openapi.json says of the endpoints of `/api`, with examples of the model that answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from facemodels.routes import ABILITY, INFO, METRICS, ability_path
from facemodels.serving.api import reliability
from facemodels.serving.api.forms import FIELD
from facemodels.serving.api.points import NUMBER as NUMBER_TEXT
from facemodels.serving.api.schemas import (
    BOX_PATTERN,
    POINT,
    RECTANGLE,
    SIZE,
    THRESHOLD,
    DocumentedAbility,
    images_body,
)
from facemodels.serving.api.system_documents import abilities_of_system
from facemodels.serving.http.openapi import (
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
        known_issues=TEXT, reliability=reliability.SCHEMA,
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


def ability(
    name: str,
    *,
    task: str,
    model: str,
    version: str,
    secured: bool,
    trusted: Mapping[str, object],
    galleries: Sequence[str] = (),
) -> Operation:
    """Document the endpoint of one ability.

    Args:
        name: the ability, for example `embed`.
        task: the task of the model.
        model: the name of the model that answers.
        version: the version of the model that answers.
        secured: whether the server asks for tokens.
        trusted: what every answer says of its reliability.
        galleries: the names of a system's galleries.
    """
    known = (abilities_of_system(galleries) if task == "system" else _ABILITIES)[name]
    schema = record(
        known.answer, model_name=TEXT, model_version=TEXT, reliability=reliability.SCHEMA
    )
    extra = {
        "parameters": list(known.parameters),
        "requestBody": images_body(two=name == "verify"),
        "x-codeSamples": [{"lang": "Shell", "source": _curl(name)}],
    }
    return operation(
        ABILITY, known.summary, schema,
        {"model_name": model, "model_version": version, **known.example,
         "reliability": trusted},
        400, 408, 413, 415, 422, 503, 504, *known.errors, secured=secured, extra=extra,
    )  # fmt: skip


def _curl(name: str) -> str:
    path = ability_path(name)
    if name == "verify":
        return f"curl -F {FIELD}=@one.jpg -F {FIELD}=@other.jpg $SERVER{path}"
    return f"curl -H 'content-type: image/jpeg' --data-binary @face.jpg $SERVER{path}"


_BOX: Schema = {
    "name": "box", "in": "query", "required": False, "example": "10,10,60,60",
    "description": (
        "The face in each image, from the hairline to the chin: x0,y0,x1,y1 in pixels; the whole "
        "image if left out"
    ),
    "schema": {"type": "string", "pattern": BOX_PATTERN},
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
    box=RECTANGLE, score=NUMBER, points=listing(POINT, least=5, most=5), optional=("points",)
)
_ABILITIES: Mapping[str, DocumentedAbility] = {
    "detect": DocumentedAbility(
        "Find faces",
        {"threshold": NUMBER, "results": listing(record(SIZE, faces=listing(_FACE)))},
        {
            "threshold": 0.5,
            "results": [
                {
                    "width": 640, "height": 480,
                    "faces": [{"box": [101.5, 80.0, 212.0, 215.5], "score": 0.93}],
                }
            ],
        },
        (THRESHOLD,),
    ),
    "landmarks": DocumentedAbility(
        "Fit 68 points to a face",
        {"results": listing(record(SIZE, box=RECTANGLE, points=listing(POINT)))},
        {
            "results": [
                {"width": 90, "height": 70, "box": [10, 10, 60, 60], "points": [[12.0, 24.0]]}
            ]
        },
        (_BOX,),
    ),
    "embed": DocumentedAbility(
        "Embed face crops, or faces in photos",
        {
            "embedding_space": {"type": ["string", "null"]},
            "results": listing(record(embedding=listing(NUMBER))),
        },
        {"embedding_space": "recognition-facenet-0123", "results": [{"embedding": [0.02, -0.01]}]},
        (_POINTS,),
    ),
    "verify": DocumentedAbility(
        "Say whether two faces are of one person",
        {"similarity": NUMBER, "threshold": NUMBER, "same_person": {"type": "boolean"}},
        {"similarity": 0.81, "threshold": 0.5, "same_person": True},
        (THRESHOLD, _POINTS),
    ),
}  # fmt: skip

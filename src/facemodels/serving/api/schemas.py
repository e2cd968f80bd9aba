"""What the documents of several endpoints share: sizes, boxes, thresholds, bodies of images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from facemodels.serving.api.forms import FIELD, FORM
from facemodels.serving.api.images import RAW
from facemodels.serving.api.json_images import JSON, KEY
from facemodels.serving.api.points import NUMBER as NUMBER_TEXT
from facemodels.serving.http.openapi import BINARY, INTEGER, NUMBER, Schema, listing, record


@dataclass(frozen=True)
class DocumentedAbility:
    """What the document says of one ability.

    Attributes:
        summary: one line on what it does.
        answer: the schemas of the answer's fields, without the name and version of the model.
        example: an example of those fields.
        parameters: the parameters of the query.
        errors: statuses beside those of every ability.
    """

    summary: str
    answer: Mapping[str, Schema]
    example: Mapping[str, Any]
    parameters: tuple[Schema, ...] = ()
    errors: tuple[int, ...] = ()


# A grey PNG of one pixel.
_PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)
SIZE: Mapping[str, Schema] = {"width": INTEGER, "height": INTEGER}
RECTANGLE = listing(NUMBER, least=4, most=4)
POINT = listing(NUMBER, least=2, most=2)
BOX_PATTERN = f"^{NUMBER_TEXT}(,{NUMBER_TEXT}){{3}}$"
THRESHOLD: Schema = {
    "name": "threshold", "in": "query", "required": False, "example": 0.5,
    "description": "Instead of the package's own",
    "schema": {"type": "number", "minimum": -1, "maximum": 1},
}  # fmt: skip


def images_body(*, two: bool = False) -> dict[str, Any]:
    """The body of a request: one image as it is, or several as a form or in JSON."""
    count = {"least": 2, "most": 2} if two else {"least": 1}
    form = {"schema": {**record({FIELD: listing(BINARY, **count)}), "additionalProperties": False}}
    raw = {} if two else {kind: {"schema": BINARY} for kind in RAW}
    texts = {"type": "string", "contentEncoding": "base64", "example": _PIXEL}
    in_json = {**record({KEY: listing(texts, **count)}), "additionalProperties": False}
    return {"required": True, "content": {**raw, FORM: form, JSON: {"schema": in_json}}}

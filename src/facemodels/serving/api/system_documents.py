"""What /openapi.json says of the endpoints that only a system has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from facemodels.gallery.faces import FACE_CHOICES
from facemodels.routes import GALLERIES, GALLERY_FACES, GALLERY_PERSON
from facemodels.serving.api.schemas import (
    BOX_PATTERN,
    POINT,
    RECTANGLE,
    SIZE,
    THRESHOLD,
    DocumentedAbility,
    images_body,
)
from facemodels.serving.api.system import MOST_PEOPLE
from facemodels.serving.http.openapi import (
    FLAG,
    INTEGER,
    NUMBER,
    TEXT,
    Operation,
    Schema,
    listing,
    operation,
    record,
)

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
        "Which face counts where a photo shows several: the largest one if left out; `all` takes "
        "every one, and the two that are most alike are compared; `error` refuses the photo."
    ),
    "schema": {"type": "string", "enum": list(FACE_CHOICES)},
}  # fmt: skip
_TOP: Schema = {
    "name": "top", "in": "query", "required": False, "example": 5,
    "description": "The most people of each face, best first; 5 if left out",
    "schema": {"type": "integer", "minimum": 1, "maximum": MOST_PEOPLE},
}  # fmt: skip
_QUALITY = record(eyes=NUMBER, sharpness=NUMBER)
_WHOLE_FACE = record(
    box=RECTANGLE, score=NUMBER, points=listing(POINT, least=5, most=5), quality=_QUALITY
)
_EXAMPLE_FACE: Mapping[str, Any] = {
    "box": [101.5, 80.0, 212.0, 215.5],
    "score": 0.99,
    "points": [[130.1, 125.0], [182.4, 124.2], [157.0, 153.3], [135.6, 182.0], [178.8, 181.5]],
    "quality": {"eyes": 52.3, "sharpness": 310.2},
}
_ABILITIES: Mapping[str, DocumentedAbility] = {
    "faces": DocumentedAbility(
        "Find and embed every face of each photo",
        {
            "threshold": NUMBER,
            "embedding_space": TEXT,
            "verification": record(threshold=NUMBER, fmr=NUMBER),
            "results": listing(
                record(
                    SIZE,
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
    "verify": DocumentedAbility(
        "Say whether two photos show one person",
        {
            "similarity": NUMBER, "threshold": NUMBER, "fmr": NUMBER,
            "same_person": {"type": "boolean"}, "faces": listing(_WHOLE_FACE, least=2, most=2),
        },
        {
            "similarity": 0.95, "threshold": 0.91, "fmr": 0.009, "same_person": True,
            "faces": [_EXAMPLE_FACE, _EXAMPLE_FACE],
        },
        (THRESHOLD, _FMR, _CHOOSE),
    ),
    "identify": DocumentedAbility(
        "Say who the faces of each photo are",
        {
            "gallery": TEXT, "embedding_space": TEXT, "threshold": NUMBER, "fmr": NUMBER,
            "enrolled_people": INTEGER,
            "results": listing(
                record(
                    SIZE,
                    faces=listing(
                        record(
                            _WHOLE_FACE["properties"],
                            person={
                                "type": ["string", "null"],
                                "description": "The best person from the threshold on; null is "
                                "unknown",
                            },
                            people=listing(record(person=TEXT, similarity=NUMBER)),
                        )
                    ),
                )
            ),
        },
        {
            "gallery": "staff", "embedding_space": "recognition-dlib-0123", "threshold": 0.96,
            "fmr": 0.00001, "enrolled_people": 8,
            "results": [
                {
                    "width": 640, "height": 480,
                    "faces": [
                        {
                            **_EXAMPLE_FACE, "person": "Ada",
                            "people": [{"person": "Ada", "similarity": 0.97}],
                        }
                    ],
                }
            ],
        },
        (THRESHOLD, _FMR, _CHOOSE, _TOP),
        (404, 409),
    ),
}  # fmt: skip


def abilities_of_system(galleries: Sequence[str]) -> Mapping[str, DocumentedAbility]:
    """What the document says of a system's abilities, by name.

    Args:
        galleries: the names of the server's galleries.
    """
    known = _ABILITIES["identify"]
    gallery = _gallery_parameter(galleries, place="query", required=len(galleries) != 1)
    identify = replace(known, parameters=(gallery, *known.parameters))
    return {**_ABILITIES, "identify": identify}


def galleries(*, secured: bool) -> Operation:
    """Document the list of galleries."""
    one = record(name=TEXT, spaces=listing(TEXT), people=INTEGER, faces=INTEGER)
    return operation(
        GALLERIES, "Which galleries there are",
        record(embedding_space=TEXT, galleries=listing(one)),
        {
            "embedding_space": "recognition-dlib-0123",
            "galleries": [
                {"name": "staff", "spaces": ["recognition-dlib-0123"], "people": 8, "faces": 16}
            ],
        },
        secured=secured,
    )  # fmt: skip


def enrol(names: Sequence[str], *, secured: bool) -> Operation:
    """Document the enrolment of photos."""
    return operation(
        GALLERY_FACES, "Enrol the face of each photo under a name: all of them, or none",
        record(gallery=TEXT, embedding_space=TEXT, person=TEXT, added=INTEGER, known=INTEGER),
        {
            "gallery": "staff", "embedding_space": "recognition-dlib-0123", "person": "Ada",
            "added": 1, "known": 0,
        },
        400, 404, 408, 409, 413, 415, 422, 503, 504, secured=secured,
        extra={
            "parameters": [_gallery_parameter(names), *_ENROL, _FMR, THRESHOLD],
            "requestBody": images_body(),
            "x-codeSamples": [{"lang": "Shell", "source": _curl_enrol(names)}],
        },
    )  # fmt: skip


def remove_person(names: Sequence[str], *, secured: bool) -> Operation:
    """Document the removal of a person."""
    return operation(
        GALLERY_PERSON, "Remove a person: every face, and the photos that show nobody else",
        record(
            removed={"type": "object", "additionalProperties": INTEGER},
            photos=INTEGER, left=listing(record(where=TEXT, command=TEXT)),
        ),
        {
            "removed": {"recognition-dlib-0123": 2}, "photos": 2,
            "left": [
                {
                    "where": "DVC's cache, last; other clones too",
                    "command": "facemodels gallery purge --gallery staff",
                }
            ],
        },
        404, 503, 504, secured=secured,
        extra={"parameters": [_gallery_parameter(names), _PERSON]},
    )  # fmt: skip


def _gallery_parameter(
    names: Sequence[str], *, place: str = "path", required: bool = True
) -> dict[str, Any]:
    return {
        "name": "gallery", "in": place, "required": required,
        "schema": {**TEXT, **({"enum": list(names)} if names else {})},
        **({"example": names[0]} if names else {}),
    }  # fmt: skip


def _curl_enrol(names: Sequence[str]) -> str:
    path = GALLERY_FACES.path.format(gallery=names[0] if names else "staff")
    return f'curl -F image=@face.jpg "$SERVER{path}?person=Ada&choose=largest"'


_NAME: Schema = {**TEXT, "minLength": 1, "maxLength": 200}
_PERSON: Schema = {"name": "person", "in": "path", "required": True, "schema": _NAME}
_ENROL: tuple[Schema, ...] = (
    {"name": "person", "in": "query", "required": True, "example": "Ada", "schema": _NAME},
    {
        "name": "choose", "in": "query", "required": False, "example": "largest",
        "description": "Which face is meant where a photo shows several; `error` if left out",
        "schema": {"type": "string", "enum": [one for one in FACE_CHOICES if one != "all"]},
    },
    {
        "name": "box", "in": "query", "required": False,
        "description": "The face that is meant, x0,y0,x1,y1 in pixels, as /api/faces gave it",
        "schema": {"type": "string", "pattern": BOX_PATTERN},
    },
    {
        "name": "also", "in": "query", "required": False, "example": "true",
        "description": "Enrol a face that stands under another name already",
        "schema": FLAG,
    },
    {
        "name": "keep", "in": "query", "required": False, "example": "false",
        "description": "Keep the photos, so that the gallery can move to another embedding space",
        "schema": FLAG,
    },
)  # fmt: skip

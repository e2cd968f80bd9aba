"""Names the schemas of an OpenAPI document, so that generated clients have classes with names.

The endpoints describe their bodies where they stand. Here every object goes to
`components.schemas` once, under the name of its property or its operation, and a reference takes
its place. Equal objects have one name.
"""

from __future__ import annotations

from typing import Any


def name_schemas(document: dict[str, Any]) -> None:
    """Move the objects of all bodies of a document to `components.schemas`."""
    found: dict[str, Any] = {}
    for operations in document["paths"].values():
        for operation in operations.values():
            _of_operation(operation, found)
    document.setdefault("components", {})["schemas"] = dict(sorted(found.items()))


def _of_operation(operation: dict[str, Any], found: dict[str, Any]) -> None:
    base = _camel(operation["operationId"].split("_api_")[0].split("_v2_")[0])
    for media, body in operation.get("requestBody", {}).get("content", {}).items():
        kind = "Form" if media.startswith("multipart") else "Request"
        body["schema"] = _named(body["schema"], f"{base}{kind}", base, found)
    for status, answer in operation["responses"].items():
        for body in answer.get("content", {}).values():
            error = status[0] in "45" and "code" in body["schema"].get("properties", {})
            name = "Error" if error else f"{base}Answer"
            body["schema"] = _named(body["schema"], name, base, found)


def _named(schema: Any, name: str, base: str, found: dict[str, Any]) -> Any:
    """A schema whose objects are references; `found` gets the objects."""
    if not isinstance(schema, dict):
        return schema
    made = dict(schema)
    for key, value in schema.items():
        if key == "properties":
            made[key] = {
                one: _named(inner, _camel(one), base, found) for one, inner in value.items()
            }
        elif key == "items":
            made[key] = _named(value, name.removesuffix("s") if name != base else name, base, found)
        elif key in ("anyOf", "oneOf"):
            made[key] = [
                _named(inner, f"{name}{number}", base, found)
                for number, inner in enumerate(value, start=1)
            ]
    if made.get("type") != "object" or not made.get("properties"):
        return made
    return {"$ref": f"#/components/schemas/{_place(made, name, base, found)}"}


def _place(schema: dict[str, Any], name: str, base: str, found: dict[str, Any]) -> str:
    """The name under which a schema stands, a new one where that is taken by another schema."""
    candidates = [name, f"{base}{name}", *(f"{base}{name}{number}" for number in range(2, 100))]
    for candidate in candidates:
        if found.setdefault(candidate, schema) == schema:
            return candidate
    raise AssertionError(f"{name} stands for a hundred schemas")


def _camel(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.replace("-", "_").split("_"))

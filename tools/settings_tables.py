"""Write the tables of settings into docs/, from the schemas that check the settings.

A page holds a pair of markers; what stands between them is generated:

    <!-- settings of facemodels.serving.settings:Limits -->
    <!-- end of settings -->

Names, types, ranges and defaults come from the schema (through pydantic's JSON Schema), units
from the names (`_s`, `_ms`, `_bytes`, …), meanings from the `Attributes:` of the class's
docstring. In the same way, `<!-- kinds of datasets -->` holds a table of the readers and
`<!-- settings of the readers -->` a table of each reader's keys.

    .venv/bin/python tools/settings_tables.py            # rewrite the pages
    .venv/bin/python tools/settings_tables.py --check    # exit with 1 if that would change one
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from facemodels.data.datasets import kinds_of
from facemodels.names import TASKS

ROOT = Path(__file__).resolve().parents[1]
_SECTION = re.compile(
    r"(?P<begin><!-- settings of (?P<schema>[\w.]+:\w+) -->\n).*?(?P<end><!-- end of settings -->)",
    re.DOTALL,
)
_KINDS = re.compile(
    r"(?P<begin><!-- kinds of datasets -->\n).*?(?P<end><!-- end of kinds -->)", re.DOTALL
)
_READERS = re.compile(
    r"(?P<begin><!-- settings of the readers -->\n).*?(?P<end><!-- end of readers -->)", re.DOTALL
)
_UNITS = {
    "s": "s", "ms": "ms", "minutes": "min", "days": "days", "bytes": "bytes", "mb": "10⁶ bytes",
    "percent": "%", "pixels": "pixels", "image_size": "pixels",
}  # fmt: skip
_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
_SCALARS = {"integer", "number", "boolean"}
_WORDS = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "`true` or `false`",
    "null": "nothing",
    "object": "mapping",
    "array": "list",
}


def pages() -> list[Path]:
    """The pages that may hold tables."""
    return sorted((ROOT / "docs").rglob("*.md"))


def schemas(text: str) -> set[str]:
    """The schemas, `module:Class`, whose tables a page has."""
    return {found["schema"] for found in _SECTION.finditer(text)}


def rewritten(text: str) -> str:
    """A page with its generated sections as they must be.

    Raises:
        LookupError: a marker names no class, or a key has no meaning in a docstring.
    """
    text = _SECTION.sub(lambda m: f"{m['begin']}{settings_table(m['schema'])}{m['end']}", text)
    text = _KINDS.sub(lambda m: f"{m['begin']}{_kinds_table()}{m['end']}", text)
    return _READERS.sub(lambda m: f"{m['begin']}{_readers_tables()}{m['end']}", text)


def settings_table(name: str) -> str:
    """The Markdown table of a schema that is named `module:Class`."""
    module, _, attribute = name.partition(":")
    try:
        schema = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise LookupError(f"a page asks for the settings of {name}: {error}") from error
    return _table_of(schema)


def _table_of(schema: type) -> str:
    described = TypeAdapter(schema).json_schema()
    meaning = _meanings(schema)
    missing = described["properties"].keys() - meaning.keys()
    if missing:
        lacking = ", ".join(sorted(missing))
        raise LookupError(f"{schema.__name__} has no line under Attributes for {lacking}")
    rows = [
        [
            f"`{key}`",
            _default(key, field, described),
            _value(field, described.get("$defs", {})),
            _unit(key),
            meaning[key],
        ]
        for key, field in described["properties"].items()
    ]
    return _markdown(["key", "default", "value", "unit", "meaning"], rows)


def _kinds_table() -> str:
    rows = [
        [task, kind.layout, f"`{kind.reader}`"]
        for task in TASKS
        for kind in kinds_of(task)
        if kind.reader != "sample"
    ]
    return _markdown(["task", "layout", "`reader`"], [["all", "generated", "`sample`"], *rows])


def _readers_tables() -> str:
    """A heading and a table for each schema, which several readers may share."""
    readers: dict[type, list[str]] = {}
    for task in TASKS:
        for kind in kinds_of(task):
            readers.setdefault(kind.settings, []).append(f"{task} `{kind.reader}`")
    return "".join(
        f"\n#### {', '.join(names)}\n\n{_table_of(schema)}" for schema, names in readers.items()
    )


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *([_escaped(cell) for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _escaped(cell: str) -> str:
    """A cell that ends no column and, outside of code, begins no HTML."""
    cell = cell.replace("|", r"\|")
    return re.sub(r"`[^`]*`|<(?=\w)", lambda m: r"\<" if m[0] == "<" else m[0], cell)


def _meanings(schema: type) -> dict[str, str]:
    """What the docstrings of a class and of its bases say under `Attributes:`, by name."""
    found: dict[str, str] = {}
    for cls in reversed(schema.__mro__):
        _, opened, section = inspect.cleandoc(cls.__doc__ or "").partition("Attributes:\n")
        if opened:
            found |= dict(_entries(section))
    return found


def _entries(section: str) -> Iterator[tuple[str, str]]:
    """Name and text of each entry; lines that are indented further belong to the entry."""
    block = re.split(r"^\S", section, maxsplit=1, flags=re.MULTILINE)[0]
    for entry in re.split(r"^    (?=\w)", block, flags=re.MULTILINE)[1:]:
        name, _, text = entry.partition(":")
        yield name, " ".join(text.split())


def _value(field: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Type and range in words."""
    if "$ref" in field:
        return _value(definitions[field["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in field:
        return " or ".join(_value(one, definitions) for one in field["anyOf"])
    if "enum" in field or "const" in field:
        allowed = field.get("enum", [field.get("const")])
        return " or ".join("empty" if one == "" else f"`{one}`" for one in allowed)
    word = _WORDS[field["type"]]
    inner = field.get("items") or field.get("additionalProperties")
    if isinstance(inner, dict) and inner:
        word += f" of {_value(inner, definitions)}"
    bounds = [f"{sign} {field[key]:g}" for key, sign in _BOUNDS.items() if key in field]
    return " ".join([word, " and ".join(bounds)]).strip()


def _default(key: str, field: dict[str, Any], described: dict[str, Any]) -> str:
    if key in described.get("required", ()):
        return "needed"
    if "$ref" in field and "properties" in described["$defs"][field["$ref"].rpartition("/")[2]]:
        return "see below"
    if "default" not in field:  # made by a factory: an empty collection
        return "`[]`" if field["type"] == "array" else "`{}`"
    if field["default"] in ("", None):
        return "empty"
    if isinstance(field["default"], str):
        return f"`{field['default']}`"
    text = json.dumps(field["default"])
    return text.removesuffix(".0") if field["type"] in _SCALARS else f"`{text}`"


def _unit(key: str) -> str:
    parts = [key, *reversed(key.split("_"))]
    return next((_UNITS[part] for part in parts if part in _UNITS), "")


def main() -> None:
    """Rewrite the pages, or check that they need no rewriting."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if stale")
    check = parser.parse_args().check
    for path in pages():
        before = path.read_text(encoding="utf-8")
        after = rewritten(before)
        if before == after:
            continue
        if check:
            page = path.relative_to(ROOT)
            sys.exit(f"{page} is stale: run `python tools/settings_tables.py`.")
        path.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()

"""The drawing at the top of errors.py is the whole tree of exceptions, wherever they are defined."""

from __future__ import annotations

import ast
import builtins
import importlib
import re
from functools import cache
from pathlib import Path

import pytest

import facemodels
from facemodels import errors

_SOURCE = Path(facemodels.__file__).parent
_BUILT_IN = {
    name
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
}


def _last_name(base: ast.expr) -> str:
    if isinstance(base, ast.Subscript):
        base = base.value
    return base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")


@cache
def _exceptions() -> dict[str, str]:
    """The module of every exception class that the library defines, by the name of the class."""
    classes = {}
    for path in _SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                module = ".".join(path.relative_to(_SOURCE.parent).with_suffix("").parts)
                classes[node.name] = (module, {_last_name(base) for base in node.bases})
    known = set(_BUILT_IN)
    while more := {name for name, (_, bases) in classes.items() if bases & known} - known:
        known |= more
    foreign = {
        name
        for name, (_, bases) in classes.items()
        if any(re.search(r"(Error|Exception|Warning)$", base) for base in bases)
    }
    return {name: classes[name][0] for name in (known - _BUILT_IN) | foreign}


def _drawn() -> dict[str, tuple[str, int]]:
    """Parent and exit code of each class in the drawing, by its name."""
    tree: dict[str, tuple[str, int]] = {}
    above: list[str] = []
    text = str(errors.__doc__)
    for indent, name, code in re.findall(r"^([│├└─ ]*)(\w+) +exit code (\d)", text, re.MULTILINE):
        depth = len(indent) // 4
        above[depth:] = [name]
        tree[name] = (above[depth - 1] if depth else "Exception", int(code))
    return tree


DRAWN = _drawn()


def test_every_exception_is_in_the_tree_or_is_said_to_be_outside() -> None:
    outside = set(re.findall(r"^- `(\w+)`", str(errors.__doc__), re.MULTILINE))
    assert len(_exceptions()) > 15
    assert outside.isdisjoint(DRAWN)
    assert outside | set(DRAWN) == set(_exceptions())


@pytest.mark.parametrize("name", DRAWN)
def test_the_tree_is_drawn_as_it_is(name: str) -> None:
    found = getattr(importlib.import_module(_exceptions()[name]), name)
    assert ([base.__name__ for base in found.__bases__], found.exit_code) == (
        [DRAWN[name][0]],
        DRAWN[name][1],
    )


def test_of_a_long_list_a_message_names_the_first_and_the_count() -> None:
    paths = tuple(f"data/{number}.jpg" for number in range(240))
    assert errors.some(paths[:2]) == "data/0.jpg, data/1.jpg"
    error = errors.IntegrityError("It is broken", missing=paths)
    assert str(error).endswith("data/9.jpg and 230 more).")
    assert error.missing == paths

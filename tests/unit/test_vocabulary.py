"""The words of the library: a class name has one meaning, and docstrings are plain English."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "facemodels"
MODULES = sorted(SOURCE.rglob("*.py"))
PACKAGES = [path for path in MODULES if path.name == "__init__.py"]

# Words that made readers stop: old forms, and images where the field has a word of its own.
BANNED = {
    r"shall": "write what is done: 'compares', 'must', 'is to'",
    r"desks?": "name the worker or module, such as `git_worker`",
    r"shel(f|ves)": "say object store, or named files",
    r"(the|its|their|his) remains\b|remains (of|that)": "say leftover processes or files",
    r"the eyes (must|may|are|see|close)": "say sampling or monitoring",
}


def _name(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def _docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The first line's number and the text of each docstring of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node, clean=False)
            if text is not None:
                yield node.body[0].lineno, text


def test_no_public_class_name_is_defined_twice() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for path in MODULES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(_name(path))
    assert len(homes) > 300
    assert {name: where for name, where in homes.items() if len(where) > 1} == {}


def test_no_docstring_has_a_word_that_makes_readers_stop() -> None:
    found = [
        f"{_name(path)}:{line + text[: match.start()].count(chr(10))}: {match[0]!r}, {advice}"
        for path in MODULES
        for line, text in _docstrings(ast.parse(path.read_text(encoding="utf-8")))
        for word, advice in BANNED.items()
        for match in re.finditer(rf"\b({word})\b", text, flags=re.IGNORECASE)
    ]
    assert found == []


@pytest.mark.parametrize("path", PACKAGES, ids=_name)
def test_a_package_has_a_map(path: Path) -> None:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    assert "\n" in text, "say what the package does and list its modules in reading order"


@pytest.mark.parametrize(
    "path", [path for path in PACKAGES if ">>>" in path.read_text(encoding="utf-8")], ids=_name
)
def test_the_example_of_a_package_runs(path: Path) -> None:
    module = ".".join(["facemodels", *path.parent.relative_to(SOURCE).parts])
    failed, attempted = doctest.testmod(importlib.import_module(module))
    assert (failed, attempted > 0) == (0, True)

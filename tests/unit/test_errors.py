"""The drawing at the top of errors.py has every error of the library, where it stands."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest

import facemodels
from facemodels import errors

SOURCE = Path(facemodels.__file__).parent
OUTSIDE = {"BadAnnotationError", "RequestError"}


def defined() -> dict[str, str]:
    """The module of each public error class, by name."""
    return {
        node.name: ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts)
        for path in sorted(SOURCE.rglob("*.py"))
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
        and node.name.endswith("Error")
        and not node.name.startswith("_")
    }


@pytest.mark.parametrize(("name", "module"), defined().items())
def test_every_error_is_in_the_drawing(name: str, module: str) -> None:
    found = getattr(import_module(module), name)
    assert name in (errors.__doc__ or "")
    assert issubclass(found, errors.FacemodelsError) == (name not in OUTSIDE)


def drawn() -> dict[str, tuple[str, str]]:
    """The parent and the line of each error in the drawing, by name."""
    found: dict[str, tuple[str, str]] = {}
    above: dict[int, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        words = line.lstrip("│├└─ ").split()
        if words and words[0].endswith("Error") and not line.startswith("Two errors"):
            depth = len(line) - len(line.lstrip("│├└─ "))
            above[depth] = words[0]
            found[words[0]] = above.get(depth - 4, ""), line
    return found


def test_the_drawing_shows_each_parent_and_exit_code() -> None:
    modules = defined()
    tree = drawn()
    assert tree.keys() == modules.keys() - OUTSIDE
    for name, (parent, line) in tree.items():
        found = getattr(import_module(modules[name]), name)
        assert found.__mro__[1].__name__ == (parent or "Exception")
        if "exit code" in line:
            assert f"exit code {found.exit_code}:" in line

"""The examples in the docstrings of the packages run, and the names in them exist."""

from __future__ import annotations

import ast
import textwrap
from importlib import import_module

from facemodels import serving
from facemodels.serving import oip


def code(package: object) -> str:
    """The example at the end of a package's docstring."""
    text = str(package.__doc__)
    return textwrap.dedent(text[text.index("Example") :].split(":\n", 1)[1])


def test_the_example_of_tensors_runs() -> None:
    names: dict[str, object] = {}
    exec(code(oip), names)  # noqa: S102  (our own text)
    assert "request" in names


def test_the_example_of_a_server_names_what_there_is() -> None:
    imports = [
        node for node in ast.walk(ast.parse(code(serving))) if isinstance(node, ast.ImportFrom)
    ]
    assert len(imports) == 5
    for node in imports:
        for alias in node.names:
            assert hasattr(import_module(str(node.module)), alias.name)

"""One module writes tags: whoever asks where a tag is written has one file to read."""

from __future__ import annotations

import ast
from pathlib import Path

import facemodels

SOURCE = Path(facemodels.__file__).parent
RUNS = ("text", "raw", "messages")  # methods of facemodels.git.Git


def _commands(path: Path) -> set[str]:
    """First words of the git commands that a module runs by `.text(…)`, `.raw(…)`, `.messages(…)`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in RUNS:
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                found.add(first.value)
        elif isinstance(node, ast.Tuple) and node.elts and isinstance(node.elts[0], ast.Constant):
            found.add(str(node.elts[0].value))
    return found


def test_only_the_tag_store_and_its_objects_run_the_commands_that_write_tags() -> None:
    # `tag` is a command of `git tag` in the tag store and an option of cat-file elsewhere.
    writes = {"mktag", "update-ref", "tag"}
    writers = {
        str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py") if _commands(path) & writes
    }
    assert writers == {"registry/tag_store.py", "registry/tag_objects.py"}  # refs; objects


def test_only_the_tag_store_and_the_release_push_to_git_and_its_rehearsal_tries_to() -> None:
    pushers = {
        str(path.relative_to(SOURCE))
        for room in ("registry", "release", "deployment", "provenance")
        for path in (SOURCE / room).rglob("*.py")
        if "push" in _commands(path)
    }
    assert pushers == {"registry/tag_store.py", "release/branch.py", "release/rehearsal.py"}

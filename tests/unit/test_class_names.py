"""A public class name has one meaning over the whole library."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import facemodels

SOURCE = Path(facemodels.__file__).parent


def test_no_public_class_name_is_defined_twice() -> None:
    homes = defaultdict(list)
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(path.relative_to(SOURCE).as_posix())
    assert len(homes) > 300
    assert {name: found for name, found in homes.items() if len(found) > 1} == {}

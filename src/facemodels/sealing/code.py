"""The code of a stage: the source files that it executes, with their digests.

Stage `code` writes a list for each other stage, which depends on its list in place of some hundred
modules. A run of that stage holds the files against the list before it starts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from facemodels.errors import ParamsError
from facemodels.sealing.declaration import StageDeclaration
from facemodels.sealing.digests import file_digest

CODE = "reports/code"  # a dependency below it is the list of the stage's code
CODE_STAGE = "code"  # makes the lists


def code_path(stage: str) -> str:
    """The path of the list of a stage's code, as dvc.yaml declares it."""
    return f"{CODE}/{stage.replace('@', '/')}.json"


def read_code(text: str, where: str) -> dict[str, str]:
    """Read a list: MD5 as DVC has it, by path from the root of the repository.

    Args:
        text: the text of the file.
        where: the name of the file in errors.

    Raises:
        ParamsError: the text is no such list.
    """
    try:
        return {str(path): str(digest) for path, digest in json.loads(text).items()}
    except (ValueError, AttributeError) as error:
        raise ParamsError(
            f"{where} is no list of a stage's code: {error}.", f"Run `dvc repro {CODE_STAGE}`."
        ) from error


def edited_code(root: Path, stages: Iterable[str]) -> list[str]:
    """Find modules that are not as the lists of stages have them, as `<stage>: <path>`.

    Args:
        root: the folder of dvc.yaml.
        stages: names of stages; one without a list has no such modules.

    Raises:
        ParamsError: a list is none.
    """
    digest = cache(lambda path: file_digest(root / path) if (root / path).is_file() else "")
    found = []
    for stage in stages:
        file = root / code_path(stage)
        code = read_code(file.read_text(encoding="utf-8"), file.name) if file.is_file() else {}
        found += [f"{stage}: {path}" for path, listed in code.items() if digest(path) != listed]
    return found


def code_of(stage: StageDeclaration, root: Path) -> dict[str, str]:
    """Read the lists that a stage depends on; empty for one that depends on none.

    Args:
        stage: the stage.
        root: the folder of dvc.yaml.

    Raises:
        ParamsError: a list is not there, or is none.
    """
    found: dict[str, str] = {}
    for path in stage.deps:
        if path.startswith(f"{CODE}/"):
            file = root / path
            found |= read_code(file.read_text(encoding="utf-8") if file.is_file() else "", path)
    return found

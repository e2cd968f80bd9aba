"""What DVC's own files say, and how their YAML is read: dvc.lock, `.dvc` files, params.yaml.

Every module that needs a digest, a dependency or a parameter from one of them asks here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import yaml

from facemodels.errors import InputError, ParamsError
from facemodels.git import Git

LOCK = "dvc.lock"
# YAML 1.2, which DVC writes, has 1e-05; YAML 1.1, which PyYAML reads, takes that for text.
_FLOAT = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+$")


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """A mapping of keys to values of JSON; an empty file is an empty one.

    Args:
        text: of the file.
        where: names the file in errors.

    Raises:
        ParamsError: the text is no YAML, or no mapping.
    """
    try:
        values = plain(yaml.load(text, Loader=_loader()))  # noqa: S506  (a safe loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ParamsError(
            f"{where} cannot be read: {' '.join(str(error).split())}.",
            "Was it edited by hand, or left in the middle of a merge?",
        ) from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ParamsError(f"{where} holds no mapping of keys to values.")
    return values


@cache
def _loader() -> type[yaml.SafeLoader]:
    """The safe loader, in C where PyYAML has it: ten times as fast."""
    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loader: type[yaml.SafeLoader] = type("_Loader", (base,), {})
    loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
    return loader


def plain(value: Any) -> Any:
    """A value of YAML as one of JSON: text keys, no dates, no NaN.

    Raises:
        RecursionError: the value holds itself.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, str | int | float):
        return value
    return str(value)


def read_lock(git: Git, commit: str) -> dict[str, Any]:
    """The stages of dvc.lock at a commit, by name; empty where there is none.

    Raises:
        InputError: the file is no lock.
    """
    return parse_lock(git.file(commit, LOCK) or "", f"{LOCK} at {commit[:10]}")


def parse_lock(text: str, where: str) -> dict[str, Any]:
    """The stages of a dvc.lock's text.

    Raises:
        InputError: the text is no lock.
    """
    stages = parse_yaml(text, where).get("stages") or {}
    if not isinstance(stages, dict):
        raise InputError(f"{where} holds no stages.", "Restore it with `git checkout`.")
    return stages


def find_hash(git: Git, commit: str, path: str) -> str | None:
    """DVC's digest of an output at a commit, from dvc.lock or from `<path>.dvc`; None if it is
    tracked by neither.

    Raises:
        InputError: one of the files cannot be read.
    """
    for stage in read_lock(git, commit).values():
        for out in stage.get("outs", ()):
            if out.get("path") == path:
                return _digest(out)
    frozen = git.file(commit, f"{path}.dvc")
    outs = parse_yaml(frozen or "", f"{path}.dvc").get("outs") or [{}]
    return _digest(outs[0])


def stages_passed_on(stages: Mapping[str, Any], path: str, digest: str) -> list[str]:
    """Names of the stages that ran through with this very package as their dependency."""
    return sorted(
        name
        for name, stage in stages.items()
        if any(d.get("path") == path and _digest(d) == digest for d in stage.get("deps", ()))
    )


def _digest(entry: Mapping[str, Any]) -> str | None:
    value = entry.get("md5")
    return str(value) if value else None

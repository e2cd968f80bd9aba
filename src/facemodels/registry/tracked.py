"""What DVC tracks at a commit: the outputs of dvc.lock and of `.dvc` files, by path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from facemodels.errors import InputError
from facemodels.registry.git import Git
from facemodels.registry.yaml_text import parse

LOCK = "dvc.lock"


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
    stages = parse(text, where).get("stages") or {}
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
    outs = parse(frozen or "", f"{path}.dvc").get("outs") or [{}]
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

"""Merges what the pipeline writes by what it says, where Git would merge its lines. Pure.

A stage of dvc.lock is the record of one run, so it is taken whole from the side that changed it. A
stage that both sides changed is left out: DVC takes it for one that never ran and builds it. What a
stage was made of stands in its record, so that DVC also sees where the other side changed that.

Stages that are built write their records of sealed runs and their lists of code anew, so where both
sides changed one, it does not matter which is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from facemodels import dvc_files
from facemodels.errors import ConflictError, InputError
from facemodels.release.plan import PARAMS
from facemodels.sealing.code import CODE
from facemodels.sealing.declaration import RECORDS
from facemodels.yaml_text import parse_yaml

_STAGE = re.compile(r"  (?P<name>[^\s#].*?):\n")
_HEAD = "schema: '2.0'\nstages:\n"
_REWRITTEN = (f"{RECORDS}/", f"{CODE}/")
_ABSENT = object()


@dataclass(frozen=True)
class MergedFile:
    """The outcome of a merge.

    Attributes:
        text: the merged file.
        rebuilt: the stages that both sides changed, which are left to be built.
    """

    text: str
    rebuilt: tuple[str, ...] = ()


def merge(path: str, base: str, ours: str, theirs: str) -> MergedFile:
    """Merge three versions of a file.

    Args:
        path: the path of the file in the repository: dvc.lock, params.yaml, the record of a sealed
            run or a list of code.
        base: the text of the common ancestor; "" where it had no such file.
        ours: the text of this side.
        theirs: the text of the other side.

    Raises:
        InputError: the file is none of these, or not as DVC writes it.
        ConflictError: both sides changed one value of params.yaml in different ways.
        ParamsError: one of the texts does not parse.
    """
    name = path.rpartition("/")[2]
    kinds: dict[str, Callable[[str, str, str], MergedFile]] = {
        dvc_files.LOCK: _merge_lock, PARAMS: _merge_params,
    }  # fmt: skip
    if path.startswith(_REWRITTEN):
        chosen = _choose(base, ours, theirs)
        return MergedFile(ours if chosen is _ABSENT else chosen)
    if name not in kinds:
        raise InputError(
            f"{path} is nothing that the pipeline writes.", "Merge it as text: git merge-file"
        )
    return kinds[name](base, ours, theirs)


def _merge_lock(base: str, ours: str, theirs: str) -> MergedFile:
    before, mine, others = (_stages(text) if text else {} for text in (base, ours, theirs))
    names = [*mine, *(name for name in others if name not in mine)]
    kept: dict[str, str] = {}
    both = []
    for name in names:
        sides = [side.get(name, "") for side in (before, mine, others)]
        chosen = _choose(*sides)
        if chosen is _ABSENT:
            both.append(name)
        elif chosen:
            kept[name] = chosen
    text = _HEAD + "".join(kept.values()) if kept else "schema: '2.0'\nstages: {}\n"
    dvc_files.parse_lock(text, "the merged dvc.lock")
    return MergedFile(text, tuple(both))


def _stages(text: str) -> dict[str, str]:
    """The lines of each stage in the text of a dvc.lock, by name.

    Raises:
        InputError: DVC does not write a lock so; it was edited by hand, or is in schema 1.
    """
    blocks: dict[str, str] = {}
    name = ""
    body = text.removeprefix(_HEAD) if text.startswith(_HEAD) else ""
    for line in body.splitlines(keepends=True):
        match = _STAGE.fullmatch(line)
        if match is not None:
            name = match["name"]
        if name:
            blocks[name] = blocks.get(name, "") + line
    known = dvc_files.parse_lock(text, dvc_files.LOCK)
    if {name.strip("'\"") for name in blocks} != set(known):
        raise InputError(
            f"{dvc_files.LOCK} is not written as DVC writes it.",
            "Merge it by hand, and run `dvc repro`.",
        )
    return blocks


def _choose(base: Any, ours: Any, theirs: Any) -> Any:
    """The side that changed a value; `_ABSENT` where both did, in different ways."""
    if ours in (theirs, base):
        return theirs
    return ours if theirs == base else _ABSENT


def _merge_params(base: str, ours: str, theirs: str) -> MergedFile:
    from omegaconf import OmegaConf

    trees = [parse_yaml(text, PARAMS) for text in (base, ours, theirs)]
    merged = _merge_trees(trees[0], trees[1], trees[2], ())
    return MergedFile(OmegaConf.to_yaml(OmegaConf.create(merged)))


def _merge_trees(base: Any, ours: Any, theirs: Any, where: tuple[str, ...]) -> Any:
    chosen = _choose(base, ours, theirs)
    if chosen is not _ABSENT:
        return chosen
    if not (isinstance(ours, Mapping) and isinstance(theirs, Mapping)):
        raise ConflictError(
            f"both sides changed {'.'.join(where)}.", "Merge conf/, and run `facemodels params`."
        )
    before = base if isinstance(base, Mapping) else {}
    merged = {}
    for key in [*ours, *(key for key in theirs if key not in ours)]:
        was, mine, other = (side.get(key, _ABSENT) for side in (before, ours, theirs))
        value = _merge_trees(was, mine, other, (*where, str(key)))
        if value is not _ABSENT:
            merged[key] = value
    return merged

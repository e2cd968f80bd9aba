"""Compares two versions of a task by what the registry and Git have recorded of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from facemodels.errors import InputError
from facemodels.evaluate import stamp
from facemodels.git import Git, GitError
from facemodels.names import ModelId
from facemodels.provenance.difference import values
from facemodels.provenance.difference.values import (
    CodeDifference,
    Commits,
    Relation,
    VersionDifference,
)
from facemodels.provenance.flat import Flat, ValueChange, changes
from facemodels.provenance.lineage.ancestry import Ancestor, changed_parameters, other_paths
from facemodels.provenance.lineage.trace import ancestor, facts_of, read_file
from facemodels.registry.state import State

CODE = ("src", "stages", "conf")
REQUIREMENTS = "requirements.lock"
_LISTED = 20  # commits
_ENVIRONMENT = ("framework", "framework_version")


def compare(git: Git, state: State, a: ModelId | str, b: ModelId | str) -> VersionDifference:
    """Compare two versions.

    Args:
        git: Git in the clone.
        state: the state of the registry.
        a: the version on the left, "before".
        b: the version on the right, "after".

    Raises:
        InputError: one of them is not registered, or they are of different tasks.
        NameFormatError: an id does not parse.
        ParamsError: a dvc.lock, `.dvc` or params.yaml of one of the commits is broken.
        ToolError: git is missing or gave no answer.
    """
    entries = [state.entry(model) for model in (a, b)]
    tasks = [ModelId.parse(entry.id).name.task for entry in entries]
    if tasks[0] != tasks[1]:
        raise InputError(
            f"{entries[0].id} is of {tasks[0]}, {entries[1].id} of {tasks[1]}: their metrics "
            "mean different things.",
            "Compare versions of one task.",
        )
    before, after = (ancestor(git, entry) for entry in entries)
    facts = [facts_of(entry) for entry in entries]
    stamps = stamp.differences(*(recorded.get("stamp") for recorded in facts))
    interfaces = [recorded.get("interface") for recorded in facts]
    inputs = before.inputs, after.inputs
    known = all(side.parameters_from for side in inputs)
    locked = all(side.stages for side in inputs)
    requirements, origin = _requirements(git, (before, after), facts)
    return VersionDifference(
        before,
        after,
        values.metrics(*(recorded.get("metrics") for recorded in facts), comparable=not stamps),
        stamps,
        values.recorded(*interfaces),
        values.bump(before.id, after.id, dict(zip((before.id, after.id), interfaces, strict=True))),
        changed_parameters(*inputs) if known else None,
        values.digests(inputs[0].data, inputs[1].data) if locked else None,
        _same_package(before, after),
        _code(git, before, after),
        requirements,
        origin,
        values.labels(*(recorded.get("tags") for recorded in facts)),
        values.recorded(*(recorded.get("members") for recorded in facts)),
        values.recorded(*(recorded.get("decides_by") for recorded in facts)),
    )


def _same_package(before: Ancestor, after: Ancestor) -> bool | None:
    """Compare the packages by the digests of the registrations, or else by DVC's digests.

    None means that neither kind of digest is known for both.
    """
    recorded = [str(side.evidence.get("package") or "") for side in (before, after)]
    if all(recorded):
        return recorded[0] == recorded[1]
    known = [
        side.dvc or (side.inputs.package.md5 if side.inputs.package else "")
        for side in (before, after)
    ]
    return known[0] == known[1] if all(known) else None


def _requirements(
    git: Git, sides: tuple[Ancestor, Ancestor], facts: list[Mapping[str, Any]]
) -> tuple[tuple[ValueChange, ...] | None, str]:
    """Find the pinned requirements that changed, and where the pins were recorded."""
    recorded = [_environment(values) for values in facts]
    if all(recorded):
        return changes(*recorded), "registration"
    locks = [
        read_file(git, side.revision.commit, REQUIREMENTS) if side.revision.time else None
        for side in sides
    ]
    if locks[0] is None or locks[1] is None:
        return None, ""
    return changes(values.pins(locks[0]), values.pins(locks[1])), REQUIREMENTS


def _environment(facts: Mapping[str, Any]) -> Flat:
    """Read the framework and the requirements that a registration recorded of a package."""
    found: dict[tuple[str, ...], Any] = {
        (key,): str(facts[key]) for key in _ENVIRONMENT if key in facts
    }
    lines = facts.get("requirements")
    if isinstance(lines, list):
        lines = "\n".join(map(str, lines))
    return {**found, **values.pins(lines)} if isinstance(lines, str) else found


# --- code ----------------------------------------------------------------------------------


def _code(git: Git, before: Ancestor, after: Ancestor) -> CodeDifference:
    files = None
    if before.inputs.stages and after.inputs.stages:
        files = other_paths(before.inputs.code, after.inputs.code)
    if not (before.revision.time and after.revision.time):
        return CodeDifference("not known", CODE, Commits(), Commits(), files)
    first, second = before.revision.commit, after.revision.commit
    gained, lost = _commits(git, first, second), _commits(git, second, first)
    return CodeDifference(_relation(git, first, second), CODE, gained, lost, files)


def _relation(git: Git, first: str, second: str) -> Relation:
    if first == second:
        return "same"
    if _is_ancestor(git, first, second):
        return "after"
    return "before" if _is_ancestor(git, second, first) else "diverged"


def _is_ancestor(git: Git, first: str, second: str) -> bool:
    try:
        git.text("merge-base", "--is-ancestor", first, second)
    except GitError:
        return False
    return True


def _commits(git: Git, start: str, end: str) -> Commits:
    """List the commits that touch the code and that `end` has and `start` does not have."""
    where = (f"{start}..{end}", "--", *CODE)
    count = int(git.text("rev-list", "--count", *where))
    options = ("--no-show-signature", "--no-color", "--format=%h %s", f"--max-count={_LISTED}")
    listed = git.text("log", *options, *where)
    return Commits(count, tuple(line for line in listed.split("\n") if line))

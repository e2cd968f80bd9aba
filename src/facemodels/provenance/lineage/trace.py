"""Traces a version to its parents, code, data and parameters, from Git alone.

Everything is read at the commit that the version was registered at. dvc.lock says what the
package was made of; params.yaml is read where dvc.lock has no stage of the package.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from facemodels import dvc_files
from facemodels.errors import NameFormatError, ParamsError
from facemodels.git import Git, GitError
from facemodels.names import ModelId, Version
from facemodels.provenance.lineage import dvc_lock
from facemodels.provenance.lineage.ancestry import (
    Ancestor,
    Lineage,
    LineageEnd,
    MemberOrigin,
    Revision,
    differences,
)
from facemodels.provenance.lineage.inputs import Inputs
from facemodels.registry.events import to_text
from facemodels.registry.members import members_of
from facemodels.registry.state import Entry, State

PARAMS = "params.yaml"


def trace(
    git: Git, state: State, model_id: ModelId | str, *, generations: int | None = None
) -> Lineage:
    """Trace a version to its ancestors.

    Args:
        git: Git in the clone.
        state: the state of the registry.
        model_id: the version.
        generations: the largest number of versions; None for all.

    Raises:
        InputError: the version is not registered.
        NameFormatError: the id does not parse.
        ParamsError: a dvc.lock, `.dvc` or params.yaml of one of the commits is broken.
        ToolError: git is missing or gave no answer.
    """
    chain, end = _chain(state, state.entry(model_id), generations)
    versions = [
        replace(ancestor(git, entry), members=_members(git, state, entry)) for entry in chain
    ]
    for place, parent in enumerate(versions[1:]):
        child = versions[place]
        versions[place] = replace(child, differences=differences(parent.inputs, child.inputs))
    return Lineage(tuple(versions), end)


def _members(git: Git, state: State, entry: Entry) -> tuple[MemberOrigin, ...]:
    found = []
    for pin in members_of(facts_of(entry)):
        known = state.entries.get(pin.id)
        version = ancestor(git, known) if known else None
        found.append(MemberOrigin(pin.task, pin.id, pin.digest, version))
    return tuple(found)


def _chain(state: State, entry: Entry, generations: int | None) -> tuple[list[Entry], LineageEnd]:
    """Follow the parents of an entry as far as they are registered; say why the list ends."""
    chain, seen = [entry], {entry.id}
    while True:
        parent, end = _parent(chain[-1])
        if end is not None:
            return chain, end
        if parent in seen:
            return chain, LineageEnd("cycle", parent)
        if parent not in state.entries:
            return chain, LineageEnd("not registered", parent)
        if generations is not None and len(chain) >= generations:
            return chain, LineageEnd("not asked for", parent)
        seen.add(parent)
        chain.append(state.entries[parent])


def _parent(entry: Entry) -> tuple[str, LineageEnd | None]:
    """Find the id of the parent, or why there is none."""
    facts = facts_of(entry)
    if "parent_version" not in facts:
        return "", LineageEnd("not recorded")
    named = str(facts["parent_version"] or "")
    if not named:
        return "", LineageEnd("first")
    own = ModelId.parse(entry.id)
    try:
        return str(ModelId(own.name, Version.parse(named), own.variant)), None
    except NameFormatError:
        return "", LineageEnd("malformed", named)


def facts_of(entry: Entry) -> Mapping[str, Any]:
    """What was recorded of a version; empty for a tag of GTO, or if it is no mapping."""
    return entry.facts if isinstance(entry.facts, Mapping) else {}


def ancestor(git: Git, entry: Entry) -> Ancestor:
    """Read one version and what it was made of.

    Raises:
        ParamsError: a dvc.lock, `.dvc` or params.yaml of its commit is broken.
        ToolError: git is missing or gave no answer.
    """
    facts = facts_of(entry)
    model = ModelId.parse(entry.id)
    path = str(facts.get("path") or model.folder)
    commit = entry.event.commit
    revision = _revision(git, commit)
    inputs = _inputs(git, commit, path, model) if revision.time else Inputs()
    if isinstance(facts.get("imported"), Mapping):
        # No stage made it, and no earlier dvc.lock says more.
        inputs = replace(inputs, notes=(_imported(facts["imported"]),))
    return Ancestor(
        entry.id,
        entry.status,
        str(facts.get("created_at") or to_text(entry.event.time)),
        revision,
        path,
        str(facts.get("dvc") or ""),
        entry.evidence,
        str(facts.get("changelog") or entry.event.reason),
        inputs,
        notes=tuple(_notes(facts, revision, inputs)),
    )


def _imported(file: Mapping[str, Any]) -> str:
    """What a version was made of that `facemodels import` took from a file."""
    source = f", published at {file['source']}" if file.get("source") else ""
    return (
        f"Imported from {file.get('name')} ({file.get('kind')}, {file.get('size')} bytes, "
        f"SHA-256 {file.get('sha256')}){source}."
    )


def _notes(facts: Mapping[str, Any], revision: Revision, inputs: Inputs) -> list[str]:
    notes = []
    if not facts:
        notes.append("Registered without facts, as GTO does: the package's path follows its id.")
    if not revision.time:
        return [*notes, "The commit is not in this clone; is it a shallow one?"]
    if not revision.branches:
        notes.append("The commit is on no branch of this clone.")
    recorded, locked = facts.get("dvc"), inputs.package.md5 if inputs.package else ""
    if recorded and locked and recorded != locked:
        notes.append(
            f"Registered as {str(recorded)[:8]}, but DVC has {locked[:8]} at the commit: "
            "the package was not the one that was committed."
        )
    return notes


def _revision(git: Git, commit: str) -> Revision:
    try:
        options = ("--no-patch", "--no-show-signature", "--format=%ct%x00%s")
        output = git.text("show", *options, f"{commit}^{{commit}}", "--")
    except GitError:
        return Revision(commit)
    time, _, subject = output.partition("\0")
    names = git.text(
        "for-each-ref", f"--contains={commit}", "--format=%(refname:lstrip=2)",
        "refs/heads", "refs/remotes",
    )  # fmt: skip
    branches = tuple(name for name in names.split() if not name.endswith("/HEAD"))
    return Revision(commit, to_text(int(time)), subject, branches)


def _inputs(git: Git, commit: str, path: str, model: ModelId) -> Inputs:
    """Find what a package was made of, from the files of a commit."""
    inputs = _from_dvc(git, commit, path, str(model.name))
    if inputs.parameters_from:
        return inputs
    text = read_file(git, commit, PARAMS)
    if text is None:
        note = "Neither dvc.lock nor params.yaml has its parameters at the commit."
        return replace(inputs, notes=(*inputs.notes, note))
    parameters, note = dvc_lock.from_params(text, model, _where(commit, PARAMS))
    origin = PARAMS if parameters else ""
    notes = (*inputs.notes, note)
    return replace(inputs, parameters=parameters, parameters_from=origin, notes=notes)


def _from_dvc(git: Git, commit: str, path: str, model: str) -> Inputs:
    lock = read_file(git, commit, dvc_files.LOCK)
    if lock is not None:
        where = _where(commit, dvc_files.LOCK)
        inputs = dvc_lock.from_lock(
            lock, path, model, where, lambda code: read_file(git, commit, code)
        )
        if inputs is not None:
            return inputs
    for file in dvc_files.dvc_files_of(path):
        text = read_file(git, commit, file)
        if text is not None:
            return dvc_lock.from_dvc_file(text, path, file, _where(commit, file))
    missing = "no stage of dvc.lock makes it" if lock is not None else "there is no dvc.lock"
    return Inputs(notes=(f"What it was made of is not recorded: {missing} at the commit.",))


def _where(commit: str, path: str) -> str:
    return f"{path} at commit {commit[:10]}"


def read_file(git: Git, commit: str, path: str) -> str | None:
    """Read the text of a file at a commit; None if it is not there.

    Raises:
        ParamsError: the file is not UTF-8, or no file can have that path.
    """
    try:
        return git.file(commit, path)
    except ValueError as error:
        raise ParamsError(f"{_where(commit, path)!r} cannot be read: {error}.") from error

"""Where a version comes from: values alone.

A version has one parent at most, so its ancestors are a chain, newest first. The chain ends
at a first version, or where the registry knows no more; `LineageEnd` says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from facemodels.provenance.flat import ValueChange, changes
from facemodels.provenance.lineage.inputs import Artifact, Inputs

Ending = Literal["first", "not recorded", "not registered", "cycle", "malformed", "not asked for"]
_VERSION_KEYS = frozenset({("name",), ("version",), ("variant",)})


@dataclass(frozen=True, slots=True)
class Revision:
    """A commit.

    Attributes:
        commit: its id.
        time: of the commit, `2026-01-02T03:04:05Z`; "" if the commit is not in this clone.
        subject: first line of its message.
        branches: of this clone that hold it, with those of its remotes.
    """

    commit: str
    time: str = ""
    subject: str = ""
    branches: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "commit": self.commit,
            "time": self.time,
            "subject": self.subject,
            "branches": list(self.branches),
        }


@dataclass(frozen=True, slots=True)
class InputDifferences:
    """What is not what it was for the parent; None where either side recorded nothing.

    Attributes:
        data: paths whose digest is another, or that only one of the two has.
        code: likewise.
        parameters: apart from the version's own number and card.
    """

    data: tuple[str, ...] | None
    code: tuple[str, ...] | None
    parameters: tuple[ValueChange, ...] | None

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        parameters = self.parameters
        return {
            "data": None if self.data is None else list(self.data),
            "code": None if self.code is None else list(self.code),
            "parameters": None if parameters is None else [c.as_json() for c in parameters],
        }


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A version and what it was made of.

    Attributes:
        id: for example `rec-facenet-v2.1.3`.
        status: of now.
        created_at: as recorded, or the tag's date.
        revision: the commit it was registered at.
        path: of the package.
        dvc: DVC's digest of the package, as recorded at registration; "" if it was not.
        evidence: digests recorded at registration.
        changelog: what was said of it.
        inputs: what it was made of.
        differences: from its parent; None without a parent.
        notes: what is odd or missing.
    """

    id: str
    status: str
    created_at: str
    revision: Revision
    path: str
    dvc: str
    evidence: Mapping[str, Any]
    changelog: str
    inputs: Inputs
    differences: InputDifferences | None = None
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "model_id": self.id,
            "status": self.status,
            "created_at": self.created_at,
            "revision": self.revision.as_json(),
            "path": self.path,
            "dvc": self.dvc,
            "evidence": dict(self.evidence),
            "changelog": self.changelog,
            "inputs": self.inputs.as_json(),
            "differences": self.differences.as_json() if self.differences else None,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class LineageEnd:
    """Why the chain goes no further.

    Attributes:
        why: `first`: it has no parent, `not recorded`: it was registered without facts, …
        parent: what was named as the parent; "" where nothing was.
    """

    why: Ending
    parent: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"why": self.why, "parent": self.parent}

    def __str__(self) -> str:
        return {
            "first": "the first version",
            "not recorded": "registered without facts: whether it has a parent is not known",
            "not registered": f"{self.parent}, its parent, is not registered here",
            "cycle": f"{self.parent}, its parent, was met before: the parents go in a circle",
            "malformed": f"{self.parent}, its parent, is not a version",
            "not asked for": f"{self.parent} and what was before it were not asked for",
        }[self.why]


@dataclass(frozen=True, slots=True)
class Lineage:
    """A version and its ancestors.

    Attributes:
        versions: newest first; the one asked for is the first.
        end: why there are no more.
    """

    versions: tuple[Ancestor, ...]
    end: LineageEnd = field(default_factory=lambda: LineageEnd("first"))

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "model_id": self.versions[0].id,
            "versions": [version.as_json() for version in self.versions],
            "end": self.end.as_json(),
        }


def differences(parent: Inputs, child: Inputs) -> InputDifferences:
    """What a version's inputs have that its parent's have not, and the other way round."""
    data = code = None
    if parent.stages and child.stages:
        data = other_paths(parent.data, child.data)
        code = other_paths(parent.code, child.code)
    parameters = None
    if parent.parameters_from and child.parameters_from:
        parameters = changed_parameters(parent, child)
    return InputDifferences(data, code, parameters)


def changed_parameters(before: Inputs, after: Inputs) -> tuple[ValueChange, ...]:
    """The parameters that differ, without those that name the version and describe it."""
    return tuple(
        change
        for change in changes(before.parameters, after.parameters)
        if change.key not in _VERSION_KEYS and change.key[0] != "card"
    )


def other_paths(before: tuple[Artifact, ...], after: tuple[Artifact, ...]) -> tuple[str, ...]:
    """Paths that have another digest, or are on one side alone; sorted."""
    ours = {(artifact.path, artifact.md5) for artifact in before}
    theirs = {(artifact.path, artifact.md5) for artifact in after}
    return tuple(sorted({path for path, _ in ours ^ theirs}))

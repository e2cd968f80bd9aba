"""A version, its ancestors, and what differs from parent to child. These are values.

A version has at most one parent, so its ancestors are a list, newest first. The list ends at a
first version, or where the registry knows no more; `LineageEnd` says which.
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
        commit: the id of the commit.
        time: the time of the commit, as `2026-01-02T03:04:05Z`; "" if this clone does not have it.
        subject: the first line of its message.
        branches: the branches of this clone and of its remotes that contain it.
    """

    commit: str
    time: str = ""
    subject: str = ""
    branches: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The values as JSON has them."""
        return {
            "commit": self.commit,
            "time": self.time,
            "subject": self.subject,
            "branches": list(self.branches),
        }


@dataclass(frozen=True, slots=True)
class InputDifferences:
    """What differs between the inputs of a version and those of its parent.

    A part is None if one of the two recorded nothing of it.

    Attributes:
        data: the paths of data whose digest differs, or that only one of the two has.
        code: the paths of code whose digest differs, or that only one of the two has.
        parameters: the changed parameters, without the version number and the card.
    """

    data: tuple[str, ...] | None
    code: tuple[str, ...] | None
    parameters: tuple[ValueChange, ...] | None

    def as_json(self) -> dict[str, Any]:
        """The values as JSON has them."""
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
        id: the id of the version, for example `rec-facenet-v2.1.3`.
        status: its status now.
        created_at: its recorded time of creation, or else the date of its tag.
        revision: the commit that it was registered at.
        path: the path of its package.
        dvc: DVC's digest of the package, as recorded at registration; "" if it was not recorded.
        evidence: the digests that were recorded at registration.
        changelog: the changelog, or else the reason of the registration.
        inputs: what it was made of.
        differences: what differs from its parent; None if it has none.
        notes: one sentence for each thing that is odd or missing.
        members: what a system is made of, by task; empty for a model.
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
    members: tuple[MemberOrigin, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The values as JSON has them."""
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
            **({"members": [one.as_json() for one in self.members]} if self.members else {}),
        }


@dataclass(frozen=True, slots=True)
class MemberOrigin:
    """A member of a system, and where it comes from.

    Attributes:
        task: what it does in the system.
        id: the version that the system pins.
        digest: of its package, as the system pins it.
        version: what it was made of; None if it is not registered here.
    """

    task: str
    id: str
    digest: str
    version: Ancestor | None

    def as_json(self) -> dict[str, Any]:
        """The values as JSON has them."""
        return {
            "task": self.task,
            "model_id": self.id,
            "digest": self.digest,
            "version": self.version.as_json() if self.version else None,
        }


@dataclass(frozen=True, slots=True)
class LineageEnd:
    """Why the list of ancestors ends.

    Attributes:
        why: `first` for a version without a parent, `not recorded` for one that was registered
            without facts, and so on.
        parent: the parent that was named; "" if none was.
    """

    why: Ending
    parent: str = ""

    def as_json(self) -> dict[str, Any]:
        """The values as JSON has them."""
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
        versions: the version that was asked for, then its ancestors, newest first.
        end: why there are no more ancestors.
    """

    versions: tuple[Ancestor, ...]
    end: LineageEnd = field(default_factory=lambda: LineageEnd("first"))

    def as_json(self) -> dict[str, Any]:
        """The values as JSON has them."""
        return {
            "model_id": self.versions[0].id,
            "versions": [version.as_json() for version in self.versions],
            "end": self.end.as_json(),
        }


def differences(parent: Inputs, child: Inputs) -> InputDifferences:
    """Compare the inputs of a version with those of its parent."""
    data = code = None
    if parent.stages and child.stages:
        data = other_paths(parent.data, child.data)
        code = other_paths(parent.code, child.code)
    parameters = None
    if parent.parameters_from and child.parameters_from:
        parameters = changed_parameters(parent, child)
    return InputDifferences(data, code, parameters)


def changed_parameters(before: Inputs, after: Inputs) -> tuple[ValueChange, ...]:
    """Find the changed parameters, without those that name or describe the version."""
    return tuple(
        change
        for change in changes(before.parameters, after.parameters)
        if change.key not in _VERSION_KEYS and change.key[0] != "card"
    )


def other_paths(before: tuple[Artifact, ...], after: tuple[Artifact, ...]) -> tuple[str, ...]:
    """Find the paths whose digest differs, or that only one side has; sorted."""
    ours = {(artifact.path, artifact.md5) for artifact in before}
    theirs = {(artifact.path, artifact.md5) for artifact in after}
    return tuple(sorted({path for path, _ in ours ^ theirs}))

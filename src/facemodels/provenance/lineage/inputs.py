"""What a package was made of: values alone.

What its stages read is code (the folders of `_CODE`), data (what lies in data/, and whatever
else no stage makes) or built (what stages make of it: weights, metrics).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from facemodels.provenance.flat import Flat

_CODE = frozenset({"src", "stages", "tests", "tools", "conf"})

Source = Literal["stage", ".dvc", ""]


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file or folder, as DVC knows it.

    Attributes:
        path: from the root.
        md5: DVC's; `….dir` of a folder, "" where only another digest is recorded.
        size: bytes; None where it is not recorded.
        made_by: the stage; "" for what comes from outside.
    """

    path: str
    md5: str
    size: int | None = None
    made_by: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "path": self.path, "md5": self.md5, "size": self.size, "made_by": self.made_by,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stage:
    """One entry of dvc.lock.

    Attributes:
        name: for example `train@recognition-facenet`.
        command: what it ran.
        deps: what it read.
        outs: what it made.
        parameters: by the file and the key that dvc.lock names.
    """

    name: str
    command: str
    deps: tuple[Artifact, ...]
    outs: tuple[Artifact, ...]
    parameters: Mapping[str, Mapping[str, Any]]

    def as_json(self) -> dict[str, Any]:
        """The entry, as dvc.lock has it."""
        return {
            "name": self.name,
            "cmd": self.command,
            "deps": [_digest(artifact) for artifact in self.deps],
            "params": {file: dict(values) for file, values in self.parameters.items()},
            "outs": [_digest(artifact) for artifact in self.outs],
        }


def _digest(artifact: Artifact) -> dict[str, Any]:
    return {"path": artifact.path, "md5": artifact.md5, "size": artifact.size}


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a package was made of.

    Attributes:
        package: the package itself, as DVC knows it; None if DVC does not.
        source: how DVC knows it.
        stages: that led to it, in the order in which they ran.
        parameters: flat, without `models.<name>`.
        parameters_from: `dvc.lock`, `params.yaml`, or "" where none were found.
        notes: what is odd or missing, one sentence each.
    """

    package: Artifact | None = None
    source: Source = ""
    stages: tuple[Stage, ...] = ()
    parameters: Flat = field(default_factory=dict)
    parameters_from: str = ""
    notes: tuple[str, ...] = ()

    @property
    def data(self) -> tuple[Artifact, ...]:
        """Data that the stages read, sorted by path."""
        return tuple(a for a in self._read() if _kind(a) == "data")

    @property
    def built(self) -> tuple[Artifact, ...]:
        """What one stage made and another read, data aside."""
        return tuple(a for a in self._read() if _kind(a) == "built")

    @property
    def code(self) -> tuple[Artifact, ...]:
        """Code that the stages read."""
        return tuple(a for a in self._read() if _kind(a) == "code")

    @property
    def code_digest(self) -> str:
        """Hex SHA-256 over the digests and paths of the code; "" where there is none."""
        lines = "".join(f"{a.md5}  {a.path}\n" for a in self.code)
        return hashlib.sha256(lines.encode()).hexdigest() if lines else ""

    def _read(self) -> list[Artifact]:
        """All deps, each path and digest once."""
        makers = {out.path: stage.name for stage in self.stages for out in stage.outs}
        found = {
            (dep.path, dep.md5): Artifact(dep.path, dep.md5, dep.size, makers.get(dep.path, ""))
            for stage in self.stages
            for dep in stage.deps
        }
        return [found[key] for key in sorted(found)]

    def as_json(self) -> dict[str, Any]:
        """Plain values; parameters by their dotted keys."""
        return {
            "package": self.package.as_json() if self.package else None,
            "source": self.source,
            "data": [artifact.as_json() for artifact in self.data],
            "built": [artifact.as_json() for artifact in self.built],
            "code": {"sha256": self.code_digest, "files": len(self.code)},
            "parameters": {".".join(key): value for key, value in self.parameters.items()},
            "parameters_from": self.parameters_from,
            "stages": [stage.as_json() for stage in self.stages],
            "notes": list(self.notes),
        }


def _kind(artifact: Artifact) -> Literal["code", "data", "built"]:
    top = artifact.path.split("/", 1)[0]
    if top == "data":
        return "data"
    if artifact.made_by:
        return "built"
    return "code" if top in _CODE else "data"

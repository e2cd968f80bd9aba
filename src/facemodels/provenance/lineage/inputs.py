"""What a package was made of. These are values; nothing is read here.

What the stages of a package read is of three kinds: code (the folders of `_CODE`), data (what
lies in data/, and everything else that no stage makes), and built files (the outputs of other
stages, such as weights and metrics).
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
    """A file or folder that DVC tracks.

    Attributes:
        path: the path from the root of the repository.
        md5: DVC's digest, `….dir` for a folder; "" if only another digest is recorded.
        size: the size in bytes; None if it is not recorded.
        made_by: the name of the stage that makes it; "" if no stage does.
    """

    path: str
    md5: str
    size: int | None = None
    made_by: str = ""

    def as_json(self) -> dict[str, Any]:
        """The values as JSON has them."""
        return {
            "path": self.path, "md5": self.md5, "size": self.size, "made_by": self.made_by,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stage:
    """One entry of dvc.lock.

    Attributes:
        name: the name of the stage, for example `train@recognition-facenet`.
        command: the command that the stage ran.
        deps: the files and folders that it read.
        outs: the files and folders that it made.
        parameters: the values of its parameters, by file and then by key, as in dvc.lock.
    """

    name: str
    command: str
    deps: tuple[Artifact, ...]
    outs: tuple[Artifact, ...]
    parameters: Mapping[str, Mapping[str, Any]]

    def as_json(self) -> dict[str, Any]:
        """The entry in the words of dvc.lock."""
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
        package: the package itself; None if DVC does not track it.
        source: whether a stage or a `.dvc` file tracks the package; "" if neither does.
        stages: the stages that led to the package, in the order in which they ran.
        parameters: the parameters by their flat keys, without `models.<name>`.
        parameters_from: `dvc.lock` or `params.yaml`, which had them; "" if none were found.
        notes: one sentence for each thing that is odd or missing.
    """

    package: Artifact | None = None
    source: Source = ""
    stages: tuple[Stage, ...] = ()
    parameters: Flat = field(default_factory=dict)
    parameters_from: str = ""
    notes: tuple[str, ...] = ()

    @property
    def data(self) -> tuple[Artifact, ...]:
        """The data that the stages read, sorted by path."""
        return tuple(a for a in self._read() if _kind(a) == "data")

    @property
    def built(self) -> tuple[Artifact, ...]:
        """What one stage made and another stage read, without data; sorted by path."""
        return tuple(a for a in self._read() if _kind(a) == "built")

    @property
    def code(self) -> tuple[Artifact, ...]:
        """The code that the stages read, sorted by path."""
        return tuple(a for a in self._read() if _kind(a) == "code")

    @property
    def code_digest(self) -> str:
        """Hex SHA-256 over the digests and paths of the code; "" if no code is recorded."""
        lines = "".join(f"{a.md5}  {a.path}\n" for a in self.code)
        return hashlib.sha256(lines.encode()).hexdigest() if lines else ""

    def _read(self) -> list[Artifact]:
        """All dependencies of the stages, each pair of path and digest once."""
        makers = {out.path: stage.name for stage in self.stages for out in stage.outs}
        found = {
            (dep.path, dep.md5): Artifact(dep.path, dep.md5, dep.size, makers.get(dep.path, ""))
            for stage in self.stages
            for dep in stage.deps
        }
        return [found[key] for key in sorted(found)]

    def as_json(self) -> dict[str, Any]:
        """The values as JSON has them, parameters by their dotted keys."""
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

"""What a sealed stage did, against what dvc.yaml declares for it."""

from __future__ import annotations

import ast
import filecmp
import os
from collections.abc import Collection, Iterable, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Literal, NamedTuple

from facemodels.errors import FacemodelsError
from facemodels.sealing.declaration import PIPELINE, StageDeclaration
from facemodels.sealing.digests import Ignored, Stamps
from facemodels.sealing.recording import Sight

# Beside .dvcignore: what installing writes below src/.
_INSTALLED = ".egg-info"
_SHOWN = 12  # breaches in a message
_UNDECLARED = "which is no dep of it: add `- {path}` to the deps of stage `{group}` in dvc.yaml"
_BY_NAME = "which no import statement leads to: name it in BY_NAME of facemodels.sealing.needs"
_EXPLAINED = {
    "read": "it read {path}, " + _UNDECLARED,
    "import": "it imported {path}, " + _UNDECLARED,
    "unlisted": "it imported {path}, " + _BY_NAME,
    "outdated": "{path} is not as stage `code` saw it: run `dvc repro` without --single-item",
    "foreign": "it imported {path}, which is not the file of this working tree",
    "write": "it wrote {path}, which is no output of it: add `- {path}` to the outs of stage "
    "`{group}` in dvc.yaml, or write below .cache",
    "remove": "it removed {path}, which is no output of it",
    "changed": "{path}, on which it depends, was changed while it ran: run it again",
    "added": "{path} came into a folder on which it depends while it ran: run it again",
    "lost": "{path}, on which it depends, was removed while it ran: run it again",
}


class Breach(NamedTuple):
    """One thing that a stage did against its declaration, or that was done to it.

    Attributes:
        kind: what was done.
        path: to which file, from the root where it lies below it; `FILE: KEY` for a parameter.
    """

    kind: Literal[
        "read", "import", "unlisted", "outdated", "foreign",
        "write", "remove", "changed", "added", "lost",
    ]  # fmt: skip
    path: str

    def explained(self, stage: StageDeclaration) -> str:
        """Say what happened and what to do about it."""
        return _EXPLAINED[self.kind].format(path=self.path, group=stage.group)


class SealError(FacemodelsError):
    """A stage used or wrote what dvc.yaml does not declare, or a dependency changed while it ran.

    Args:
        stage: the stage.
        breaches: what was found; at least one.
        moved: where its outputs are now; "" if there were none.

    Attributes:
        breaches: what was found.
    """

    def __init__(self, stage: StageDeclaration, breaches: Sequence[Breach], moved: str) -> None:
        self.breaches = tuple(breaches)
        lines = [f"  - {breach.explained(stage)}." for breach in breaches[:_SHOWN]]
        if len(breaches) > _SHOWN:
            lines.append(f"  - and {len(breaches) - _SHOWN} more.")
        after = f"Its outputs were moved to {moved}." if moved else ""
        if any(breach.kind in {"read", "import"} for breach in breaches):
            after += " `facemodels deps --fix` adds what is missing."
        super().__init__(
            "\n".join([f"stage {stage.name} is not what {PIPELINE} says:", *lines]),
            f"\n{after.strip()}",
        )


class _Covered:
    """The paths that a declaration names; files in a folder that is named are covered too.

    A folder that a link within a named folder leads to is not: DVC does not follow it.
    """

    def __init__(self, root: Path, paths: Iterable[str]) -> None:
        self._resolved = cache(os.path.realpath)  # most files share a few folders
        places = [os.path.normpath(root / path) for path in paths]
        self._named = {os.path.realpath(place) for place in places}
        self._named |= {self._place(place) for place in places}

    def __contains__(self, path: str) -> bool:
        place = self._place(path)
        while place not in self._named:
            above = os.path.dirname(place)  # noqa: PTH120
            if above == place:
                return False
            place = above
        return True

    def _place(self, path: str) -> str:
        """The path with its folder resolved: a link to a file is hashed under its own name."""
        folder, name = os.path.split(path)
        return f"{self._resolved(folder)}/{name}"


def judge(
    stage: StageDeclaration,
    sights: Iterable[Sight],
    root: Path,
    package: Path,
    ignored: Ignored,
    code: Collection[str] = (),
) -> list[Breach]:
    """Find what a stage did that its declaration does not allow.

    Args:
        stage: the declaration.
        sights: what its processes did.
        root: the folder of dvc.yaml.
        package: the folder of `facemodels` that was imported; in the working copy of a queued
            experiment it is that of another working tree.
        ignored: names that DVC leaves out.
        code: the files of the list of its code, if it depends on one.
    """
    return sorted(set(_Judge(stage, list(sights), root, package, ignored, code).breaches()))


class _Judge:
    def __init__(
        self,
        stage: StageDeclaration,
        sights: list[Sight],
        root: Path,
        package: Path,
        ignored: Ignored,
        code: Collection[str],
    ) -> None:
        self._stage, self._sights, self._code = stage, sights, code
        self._root, self._package, self._ignored = root, package, ignored
        made = (*stage.outs, *stage.measured, *stage.scratch)
        self._deps = _Covered(root, (*stage.deps, *code, *stage.params, PIPELINE, *made))
        self._harmless = _Covered(root, stage.harmless_reads)
        self._made = _Covered(root, made)

    def breaches(self) -> Iterable[Breach]:
        for act, path in self._sights:
            here = self._here(path)
            if here is None or self._is_ignored(here):
                continue
            shown = os.path.relpath(here, self._root)
            if act == "import":
                if path != here and not _same(path, here):
                    yield Breach("foreign", path)
                elif here not in self._deps and self._is_code(Path(here)):
                    yield Breach("unlisted" if self._code else "import", shown)
            elif act == "remove":
                if path not in self._created and here not in self._made and not _is_there(here):
                    yield Breach("remove", shown)
            elif not Path(here).is_file():
                continue  # a folder, a file of a moment, or one that was looked for in vain
            elif act == "read":
                own = path in self._created or path in self._imported
                if not (own or here in self._harmless or here in self._deps):
                    yield Breach("read", shown)
            elif here not in self._made:
                yield Breach("write", shown)

    def _is_code(self, path: Path) -> bool:
        return not path.is_file() or is_code(path, self._own)  # it was removed after its import

    @cached_property
    def _created(self) -> set[str]:
        return {path for act, path in self._sights if act == "create"}

    @cached_property
    def _imported(self) -> set[str]:
        return {path for act, path in self._sights if act == "import"}

    @cached_property
    def _own(self) -> Path:
        """Where this working tree has the package."""
        return self._root / "src" / self._package.name

    def _here(self, path: str) -> str | None:
        """The file of this working tree that a path stands for; None for one of a library."""
        if path.startswith(f"{self._root}/"):
            return path
        if self._own.is_dir():  # `facemodels` was imported from another working tree
            return str(self._own / Path(path).relative_to(self._package))
        return None

    def _is_ignored(self, path: str) -> bool:
        parts = Path(path).relative_to(self._root).parts
        return any(part in self._ignored or part.endswith(_INSTALLED) for part in parts)


def _is_there(path: str) -> bool:
    return os.path.lexists(path)


def _same(one: str, other: str) -> bool:
    try:
        return filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False


def is_code(path: Path, package: Path) -> bool:
    """Whether a module holds more than its docstring; the package's own first file does not count.

    Args:
        path: the file of the module.
        package: the folder of `facemodels`: its `__init__.py` names the version, with which no
            stage is to run again.
    """
    if path == package / "__init__.py":
        return False
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return bool(body[1:] if body and isinstance(body[0], ast.Expr) else body)


def compare(before: Stamps, after: Stamps, since_ns: int) -> list[Breach]:
    """Find what changed of the dependencies of a stage while it ran.

    A file that was written and has the same content again counts as changed, since nobody knows
    which content was read.

    Args:
        before: the files when the run began.
        after: the files when it ended.
        since_ns: when the process was started; what was changed between then and `before` is
            found by its time.
    """
    found = []
    for path in before.keys() | after.keys():
        then, now = before.get(path), after.get(path)
        if now is None:
            if then is not None:
                found.append(Breach("lost", path))
        elif then is None:
            found.append(Breach("added", path))
        elif then != now or now.ctime_ns > since_ns:
            found.append(Breach("changed", path))
    return sorted(found)

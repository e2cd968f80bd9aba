"""What dvc.yaml declares of code and files, against what the stages need and used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from facemodels.errors import InputError, some
from facemodels.files import write_text
from facemodels.sealing.code import CODE_STAGE, code_of
from facemodels.sealing.declaration import PIPELINE, read_stages
from facemodels.sealing.digests import Ignored
from facemodels.sealing.judgement import judge
from facemodels.sealing.needs import StageNeeds
from facemodels.sealing.recording import RUNS, Sight, read_log

_SOURCE = "src/"


class Difference(NamedTuple):
    """One entry that the deps of a stage lack or have for nothing.

    Attributes:
        stage: the key in dvc.yaml.
        kind: `missing`: a module that a stage imports; `needless`: one that none does; `read`: a
            file that the last sealed run of the stage used and nothing covers.
        path: the entry, with placeholders.
    """

    stage: str
    kind: Literal["missing", "needless", "read"]
    path: str


def differences(root: Path) -> list[Difference]:
    """Find how the deps in dvc.yaml differ from what the stages need.

    Args:
        root: the folder of dvc.yaml.

    Raises:
        ParamsError: dvc.yaml cannot be read, or is of unknown models.
    """
    return sorted({*_unlisted(StageNeeds(root)), *_seen(root)})


def require_listed(needs: StageNeeds) -> None:
    """Check that stage `code` depends on every module that a stage imports.

    Raises:
        InputError: it lacks one, so that an edit of it would make no stage run again.
    """
    missing = [one.path for one in _unlisted(needs) if one.kind == "missing"]
    if missing:
        raise InputError(
            f"stage `{CODE_STAGE}` in {PIPELINE} lacks what stages import: {some(missing)}.",
            "Run `facemodels deps --fix`.",
        )


def _unlisted(needs: StageNeeds) -> list[Difference]:
    """How the deps of stage `code` differ from the modules that the stages import.

    A folder may hold more than they do: a model that conf/ leaves out is no reason to edit it.
    """
    listed = [one for one in needs.entries(CODE_STAGE) if one.startswith(_SOURCE)]
    missing = {path for path in needs.files if not _any_covers(needs.root, listed, path)}
    lacking = [
        one
        for one in needs.generated()
        if any(_any_covers(needs.root, [one], path) for path in missing)
    ]
    needless = [
        one
        for one in listed
        if not any(_any_covers(needs.root, [one], path) for path in needs.files)
    ]
    found = [Difference(CODE_STAGE, "missing", one) for one in lacking]
    return found + [Difference(CODE_STAGE, "needless", one) for one in needless]


def _any_covers(root: Path, entries: Sequence[str], path: Path) -> bool:
    return any(path.is_relative_to(root / one) for one in entries)


def _seen(root: Path) -> list[Difference]:
    """What the last sealed runs used, as far as the declarations of today do not cover it."""
    package, ignored = root / "src" / "facemodels", Ignored(root)
    found = []
    for name, stage in read_stages(root).items():
        log = root / RUNS / f"{name}.log"
        sights = read_log(log) if log.is_file() else []
        if sights and not _is_outdated(log, sights):
            breaches = judge(stage, sights, root, package, ignored, code_of(stage, root))
            used = [one.path for one in breaches if one.kind in {"read", "import", "unlisted"}]
            found += [Difference(stage.group, "read", path) for path in used]
    return found


def _is_outdated(log: Path, sights: list[Sight]) -> bool:
    """Whether a module was edited or removed since the run: the next one may need other files."""
    imported = [Path(sight.path) for sight in sights if sight.act == "import"]
    return any(
        not path.is_file() or path.stat().st_mtime > log.stat().st_mtime for path in imported
    )


def fix(root: Path) -> list[Difference]:
    """Write dvc.yaml anew where it differs; every other line, comments too, stays as it is.

    Args:
        root: the folder of dvc.yaml.

    Returns:
        What still differs: modules that a stage reaches by name, which belong into `BY_NAME` of
        `facemodels.sealing.needs`.

    Raises:
        ParamsError: dvc.yaml or params.yaml cannot be read.
    """
    path = root / PIPELINE
    before = path.read_text(encoding="utf-8")
    after = rewritten(before, StageNeeds(root), _seen(root))
    if after != before:
        write_text(path, after)
    return differences(root)


def rewritten(text: str, needs: StageNeeds, seen: list[Difference]) -> str:
    """The text of dvc.yaml with the `src/` entries of stage `code`, and with files that runs used.

    Args:
        text: the text of dvc.yaml.
        needs: what the stages need.
        seen: files that the last runs used and no dep covers.
    """
    lines: list[str] = []
    stage, deps_at = "", ""  # deps_at: the line's own indent, while its entries are read
    for line in [*text.split("\n"), ""]:
        name = line.strip().removesuffix(":")
        if line == f"  {name}:" and name in needs.stages:
            stage = name
        entry = f"{deps_at}  - "
        if deps_at and not line.startswith(entry):
            used = [one.path for one in seen if one.stage == stage]
            added = sorted({path for path in used if not path.startswith(_SOURCE)})
            modules = needs.generated() if stage == CODE_STAGE else []
            lines += [f"{entry}{dep}" for dep in [*added, *modules]]
            deps_at = ""
        if not (deps_at and stage == CODE_STAGE and line.startswith(f"{entry}{_SOURCE}")):
            lines.append(line)
        if line.strip() == "deps:":
            deps_at = line.removesuffix("deps:")
    return "\n".join(lines[:-1])

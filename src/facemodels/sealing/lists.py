"""The deps in dvc.yaml against what the stages need, and a dvc.yaml that has what they need."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from facemodels.files import write_text
from facemodels.sealing.declaration import PIPELINE, read_stages
from facemodels.sealing.digests import Ignored
from facemodels.sealing.judgement import judge
from facemodels.sealing.needs import StageNeeds
from facemodels.sealing.recording import RUNS, Sight, read_log

_SOURCE = "src/"
_ENTRY = "        - "


class Difference(NamedTuple):
    """One entry that the deps of a stage lack or have for nothing.

    Attributes:
        stage: the key in dvc.yaml.
        kind: `missing`: a module that the stage imports; `needless`: one that it does not;
            `read`: a file that its last sealed run used and no dep covers.
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
        ParamsError: dvc.yaml or params.yaml cannot be read.
    """
    needs = StageNeeds(root)
    found = []
    for stage in needs.stages:
        generated = set(needs.generated(stage))
        listed = {one for one in needs.entries(stage) if one.startswith(_SOURCE)}
        found += [Difference(stage, "missing", one) for one in generated - listed]
        found += [Difference(stage, "needless", one) for one in listed - generated]
    return sorted(set(found + _seen(root)))


def _seen(root: Path) -> list[Difference]:
    """What the last sealed runs used, as far as the deps of today do not cover it."""
    package, ignored = root / "src" / "facemodels", Ignored(root)
    found = []
    for name, stage in read_stages(root).items():
        log = root / RUNS / f"{name}.log"
        sights = read_log(log) if log.is_file() else []
        if not _is_outdated(log, sights):
            breaches = judge(stage, sights, root, package, ignored)
            used = [one.path for one in breaches if one.kind in {"read", "import"}]
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
    """The text of dvc.yaml with the generated `src/` entries, and with files that runs used.

    Args:
        text: the text of dvc.yaml.
        needs: what the stages need.
        seen: files that the last runs used and no dep covers.
    """
    lines: list[str] = []
    stage, in_deps = "", False
    for line in [*text.split("\n"), ""]:
        name = line.strip().removesuffix(":")
        if line == f"  {name}:" and name in needs.stages:
            stage = name
        if in_deps and not line.startswith(_ENTRY):
            used = [one.path for one in seen if one.stage == stage]
            added = [path for path in used if not path.startswith(_SOURCE)]
            lines += [f"{_ENTRY}{dep}" for dep in [*sorted(set(added)), *needs.generated(stage)]]
            in_deps = False
        if not (in_deps and line.startswith(f"{_ENTRY}{_SOURCE}")):
            lines.append(line)
        in_deps = in_deps or line == "      deps:"
    return "\n".join(lines[:-1])

"""dvc.lock against the records of the sealed runs: which of its stages no run made.

`dvc commit --force` writes into dvc.lock whatever lies in the working tree. Here is found what it
wrote. Whoever forges the record too is found by review alone: it is a file of the commit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from facemodels import dvc_files
from facemodels.sealing.declaration import read_stages
from facemodels.sealing.record import PARTS, summary


class UnprovenStage(NamedTuple):
    """A stage of dvc.lock that no sealed run made.

    Attributes:
        stage: its name.
        reason: what dvc.lock says and what the record says.
    """

    stage: str
    reason: str


def unproven_stages(root: Path) -> list[UnprovenStage]:
    """Hold dvc.lock in the working tree against the records of the sealed runs beside it.

    Args:
        root: the folder of dvc.yaml and dvc.lock.

    Raises:
        ParamsError: one of the files cannot be read.
    """
    declared = read_stages(root)
    found = []
    for name, locked in dvc_files.read_lock_here(root).items():
        path = declared[name].record if name in declared else None
        if path is not None:
            found += [UnprovenStage(name, why) for why in _differences(locked, root / path, path)]
    return found


def _differences(locked: Mapping[str, Any], file: Path, path: str) -> list[str]:
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        made, deps, params = (record[part] for part in PARTS)
    except FileNotFoundError:
        return [f"no sealed run left {path}"]
    except (OSError, ValueError, KeyError, TypeError):
        return [f"{path} is no record of a sealed run"]
    outs = _digests(locked, "outs")
    outs.pop(path, None)
    found = [
        f"{out} is {outs.get(out, 'absent')} in {dvc_files.LOCK}, and the run made "
        f"{made.get(out, 'none')}"
        for out in sorted(outs.keys() | made.keys())
        if outs.get(out) != made.get(out)
    ]
    if summary(_digests(locked, "deps")) != deps:
        found.append(f"the dependencies in {dvc_files.LOCK} are not those that the run used")
    if summary(locked.get("params") or {}) != params:
        found.append(f"the parameters in {dvc_files.LOCK} are not those that the run used")
    return found


def _digests(locked: Mapping[str, Any], kind: Any) -> dict[str, str]:
    return {entry["path"]: dvc_files.digest_of(entry) for entry in locked.get(kind) or ()}

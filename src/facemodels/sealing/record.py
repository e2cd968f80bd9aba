"""The record of a sealed run: what it made and of what. It is an output of the stage.

dvc.lock says the same, but anyone can write it with `dvc commit --force`. `facemodels.sealing.lock`
holds the two against each other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facemodels.files import canonical_json, write_json
from facemodels.sealing.declaration import StageDeclaration
from facemodels.sealing.digests import Digests, Ignored, digest_of, look_at

PARTS = ("outs", "deps", "params")  # of a record, beside the name of its stage


def write_record(
    stage: StageDeclaration,
    root: Path,
    *,
    deps: Mapping[str, str],
    params: Mapping[str, Any],
    digests: Digests,
    ignored: Ignored,
) -> None:
    """Write the record of a run that ended well; a stage without one in its outs gets none.

    Args:
        stage: the stage.
        root: the folder of dvc.yaml.
        deps: the digest of each file of its dependencies, as the run began.
        params: the values of its parameters, by file and key.
        digests: digests the outputs.
        ignored: names that DVC leaves out.
    """
    if stage.record is None:
        return
    outs = [path for path in stage.outs if path != stage.record]
    made = digests.of_files(look_at(root, outs, ignored))
    record = {
        "stage": stage.name,
        "deps": summary(_digests(root, stage.deps, deps)),
        "params": summary(params),
        "outs": _digests(root, outs, made),
    }
    write_json(root / stage.record, record)


def _digests(root: Path, paths: Any, files: Mapping[str, str]) -> dict[str, str | None]:
    return {path: digest_of(path, files, folder=(root / path).is_dir()) for path in paths}


def summary(values: Mapping[str, Any]) -> str:
    """One SHA-256 over digests or parameters, as the record has it."""
    return f"sha256:{hashlib.sha256(canonical_json(values).encode()).hexdigest()}"

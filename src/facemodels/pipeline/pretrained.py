"""Lists the weights that a training can start from: downloads, and those of distributions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facemodels.architecture.contract import Architecture
from facemodels.errors import FacemodelsError
from facemodels.models import architecture
from facemodels.params import ModelParams, Params
from facemodels.pipeline.weights import state_of


@dataclass(frozen=True)
class PretrainedRow:
    """Weights of others, and how they are here.

    Attributes:
        name: the name in conf/weights.yaml, or the file's inside a distribution.
        state: present, absent, partial, altered, not pinned; of a distribution present, or what
            is wrong.
        size: bytes; None while nobody has pinned them.
        sha256: the pinned digest; "" while nobody has pinned one.
        license: the licence of the weights.
        training_dataset: what they were trained on.
        source: the URL, or where their author publishes them.
        models: the models that `init: pretrained` starts from them.
    """

    name: str
    state: str
    size: int | None
    sha256: str
    license: str
    training_dataset: str
    source: str
    models: tuple[str, ...]


def pretrained_weights(root: Path, composed: Params) -> list[PretrainedRow]:
    """List all weights that conf/ and the architectures know, downloads first."""
    rows = [
        PretrainedRow(
            name,
            state_of(root, one),
            one.size,
            one.sha256 or "",
            one.license,
            one.training_dataset,
            one.url,
            tuple(m.name for m in composed.models.values() if m.pretrained == one),
        )
        for name, one in composed.weights.items()
    ]
    return rows + [row for m in composed.models.values() for row in _of_distributions(m)]


def _of_distributions(model: ModelParams) -> list[PretrainedRow]:
    """The weights that an architecture finds in an installed distribution."""
    kind = architecture(model.task, model.architecture)
    own = kind.initial_weights is not Architecture.initial_weights
    if model.pretrained is not None or not (own or kind.pretrained):
        return []
    try:
        found = kind.of(model.network).initial_weights(
            kind.settings(model.train | {"init": "pretrained"})
        )
    except FacemodelsError as error:
        return [PretrainedRow(model.name, str(error), None, "", "", "", "", (model.name,))]
    record: dict[str, Any] = dict(found.record) if found else {}
    files = record.get("files") or {record["name"]: record["sha256"]}
    return [
        PretrainedRow(
            name,
            "present",
            record.get("size"),
            digest,
            record["license"],
            record["training_dataset"],
            record["source"],
            (model.name,),
        )
        for name, digest in files.items()
    ]

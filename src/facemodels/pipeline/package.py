"""Package: trained weights, their record and their figures to the folder of a version."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facemodels.errors import InputError
from facemodels.names import ModelId
from facemodels.package.build import PackageContent, build
from facemodels.params import Card, OperatingPoint
from facemodels.pipeline.trained import find_trained

_KEPT = ("metrics", "threshold", "threshold_source", "groups", "stamp")
_PUBLIC_DOMAIN = "CC0-1.0"  # what is made of it may have any licence


def package(
    *,
    weights: Path,
    model: ModelId,
    card: Card,
    validation: dict[str, Any],
    output: Path,
    operating_point: OperatingPoint | None = None,
) -> Path:
    """Build the package of a trained model at `output`.

    Args:
        weights: model.pt, model.dat or model.h5, or its folder, as train wrote it.
        model: the version it becomes.
        card: the texts that people wrote about it.
        validation: `metrics`, `threshold`, `groups` and `stamp`, or empty if it was not validated.
        output: the folder of the package.
        operating_point: the threshold, where it is not the one that validate chose.

    Raises:
        InputError: the weights are of another architecture, `output` is taken, or the card
            states another licence than that of the weights that training started from.
    """
    trained = find_trained(weights)
    found = trained.architecture
    if (found.task, found.name) != (model.name.task, model.name.architecture):
        raise InputError(
            f"{weights} holds {found.task}/{found.name}, not {model.name}.",
            "Give the name of the model that was trained.",
        )
    training = read_training(trained.weights.parent)
    _require_licence(card, training)
    if operating_point is not None:
        validation = {**validation, "threshold": operating_point.threshold}
        validation["threshold_source"] = operating_point.source
    content = PackageContent(
        id=model,
        architecture=trained.architecture,
        weights=trained.weights,
        training=training,
        validation={key: validation[key] for key in _KEPT if key in validation},
        words=card,
    )
    return build(content, output)


def _require_licence(card: Card, training: Mapping[str, Any]) -> None:
    """Refuse a card that hides the terms of weights that were made by others."""
    start = training.get("initial_weights")
    if start is not None and start["license"] not in (card.license, _PUBLIC_DOMAIN):
        raise InputError(
            f"the card's licence is {card.license}, but the weights come from others that have "
            f"the licence {start['license']}.",
            f"Set card.license to {start['license']}, or train.init=scratch.",
        )


def read_training(folder: Path) -> dict[str, Any]:
    """What train recorded beside the weights; empty where nothing was."""
    path = folder / "training.json"
    if not path.is_file():
        return {}
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values

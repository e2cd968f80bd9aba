"""What a system gives: the faces of a photo, each with points, quality and embedding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemodels.errors import InputError
from facemodels.system.faces import FaceSystem, Image


def served_members(members: Mapping[str, Any], config: Mapping[str, Any]) -> FaceSystem:
    """Return the system around the predictors of its members.

    Args:
        members: a predictor for `detection` and `recognition`, and for `landmarks` where the
            detector gives no points.
        config: config.yaml of the package.

    Raises:
        InputError: a member is missing, or they do not fit together.
    """
    missing = sorted({"detection", "recognition"} - members.keys())
    if missing:
        raise InputError(f"the system has no member for {', '.join(missing)}.")
    return FaceSystem(
        detector=members["detection"],
        landmarks=members.get("landmarks"),
        embedder=members["recognition"],
        min_score=float(config["min_score"]),
        threshold=config.get("threshold"),
    )


def predict(system: FaceSystem, images: Sequence[Image]) -> list[NDArray[np.float32]]:
    """Find the faces of each photo: float32 (K, 5 + D), x0 y0 x1 y1 score embedding, a photo."""
    found = []
    for image in images:
        rows = [
            np.concatenate([face.box, np.array([face.score], np.float32), face.embedding])
            for face in system.find(image)
        ]
        width = 5 + system.embedder.embedding_size
        found.append(np.array(rows, np.float32).reshape(len(rows), width))
    return found

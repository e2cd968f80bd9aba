"""Distances from anchor points at several strides, as SCRFD's head gives them.

Source: Guo et al., "Sample and Computation Redistribution for Efficient Face Detection", ICLR
2022; the formulas are those of InsightFace's `scrfd.py` (`distance2bbox`, `distance2kps`). The
anchors of a stride are at (column * stride, row * stride), row by row, each as many times as
there are anchors; a box is that point less and plus four distances, in units of the stride, and a
point is that point plus two.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from facemodels.detection.decodes.heads import (
    POINTS,
    Candidates,
    Floats,
    HeadDetector,
    HeadSettings,
    Outputs,
    PictureInput,
    Place,
    rows_of,
    sigmoid,
)
from facemodels.errors import InputError
from facemodels.params import parse
from facemodels.runtime import RunAll

Stride = Annotated[int, Field(ge=1, le=512)]  # pixels


class ScrfdSettings(HeadSettings):
    """The layout of the outputs.

    Attributes:
        strides: pixels between two anchor points, of each level.
        anchors: how many candidates a point has.
        scores: the place of each level's scores among the outputs.
        boxes: likewise of the distances to the sides.
        points: likewise of the distances to the five points; empty without points.
        score: `probability`, or `logit` where the graph ends before the sigmoid.
    """

    strides: tuple[Stride, ...]
    anchors: Annotated[int, Field(ge=1, le=8)]
    scores: tuple[Place, ...]
    boxes: tuple[Place, ...]
    points: tuple[Place, ...] = ()
    score: Literal["probability", "logit"] = "probability"


def decode(graphs: Mapping[str, RunAll], config: Mapping[str, Any]) -> HeadDetector:
    """Return the detector of a package.

    Args:
        graphs: the one graph of the package.
        config: config.yaml of the package.

    Raises:
        ParamsError: `decode` or `preprocessing` does not fit.
    """
    values = {key: value for key, value in config["decode"].items() if key != "name"}
    settings = parse(ScrfdSettings, values, "decode")
    picture = PictureInput.of_config(config["preprocessing"])
    (run,) = graphs.values()
    return HeadDetector(run, picture, partial(candidates, settings, picture.size), settings)


def candidates(settings: ScrfdSettings, size: int, outputs: Outputs) -> Candidates:
    """Turn the outputs for a square of `size` pixels into candidates.

    Raises:
        InputError: an output has another shape.
    """
    levels = [_level(settings, size, level, outputs) for level in range(len(settings.strides))]
    points = [placed for *_, placed in levels if placed is not None]
    return Candidates(
        np.concatenate([boxes for boxes, *_ in levels]),
        np.concatenate([scores for _, scores, _ in levels]),
        np.concatenate(points) if points else None,
    )


def anchor_points(size: int, stride: int, anchors: int) -> Floats:
    """Where the candidates of a level stand: float32 (cells * anchors, 2), x and y in pixels."""
    side = -(-size // stride)
    rows, columns = np.divmod(np.arange(side * side), side)
    return np.repeat(np.stack([columns, rows], axis=1) * stride, anchors, axis=0).astype(np.float32)


def _level(
    settings: ScrfdSettings, size: int, level: int, outputs: Outputs
) -> tuple[Floats, Floats, Floats | None]:
    stride = settings.strides[level]
    centres = anchor_points(size, stride, settings.anchors)
    scores = rows_of(outputs, settings.scores[level], 1)[:, 0]
    distances = rows_of(outputs, settings.boxes[level], 4) * np.float32(stride)
    if not len(scores) == len(distances) == len(centres):
        raise InputError(
            f"stride {stride} has {len(distances)} candidates, not {len(centres)}.",
            "The package was made for another graph.",
        )
    boxes = np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], axis=1)
    if settings.score == "logit":
        scores = sigmoid(scores)
    if not settings.points:
        return boxes, scores, None
    offsets = rows_of(outputs, settings.points[level], 2 * POINTS) * np.float32(stride)
    return boxes, scores, offsets.reshape(-1, POINTS, 2) + centres[:, None]

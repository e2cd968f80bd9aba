"""Offsets from prior boxes with variances, as SSD has them and Pytorch_Retinaface gives them.

Source: Deng et al., "RetinaFace: Single-Shot Multi-Level Face Localisation in the Wild", CVPR 2020;
the formulas are those of Pytorch_Retinaface (`prior_box.py`, `box_utils.py`).
A prior has its centre in the middle of a cell. The centre of a box is moved by parts of the
prior's side, times the first variance; the side is multiplied by exp(second variance * offset); a
point is moved as the centre is.
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
)
from facemodels.errors import InputError
from facemodels.params import parse
from facemodels.runtime import RunAll

_MOST_GROWTH = 10.0  # of log(side): exp of more is no box

Stride = Annotated[int, Field(ge=1, le=512)]  # pixels
Side = Annotated[float, Field(gt=0)]  # pixels
Variance = Annotated[float, Field(gt=0)]


class RetinaFaceSettings(HeadSettings):
    """The priors, and the layout of the outputs.

    Attributes:
        strides: pixels between two priors, of each level.
        sides: sides of the priors of a cell, of each level.
        variances: of the centre and of the side.
        boxes: the place of the offsets among the outputs.
        scores: the place of the scores, (A, 2): no face, face.
        points: the place of the points' offsets; null without points.
        score: `probability`, or `logit` where the graph ends before the softmax.
    """

    strides: tuple[Stride, ...] = (8, 16, 32)
    sides: tuple[tuple[Side, ...], ...] = ((16, 32), (64, 128), (256, 512))
    variances: tuple[Variance, Variance] = (0.1, 0.2)
    boxes: Place
    scores: Place
    points: Place | None = None
    score: Literal["probability", "logit"] = "probability"


def decode(graphs: Mapping[str, RunAll], config: Mapping[str, Any]) -> HeadDetector:
    """Return the detector of a package; see `scrfd.decode`.

    Raises:
        ParamsError: `decode` or `preprocessing` does not fit.
    """
    values = {key: value for key, value in config["decode"].items() if key != "name"}
    settings = parse(RetinaFaceSettings, values, "decode")
    picture = PictureInput.of_config(config["preprocessing"])
    (run,) = graphs.values()
    head = partial(candidates, settings, priors(settings, picture.size))
    return HeadDetector(run, picture, head, settings)


def priors(settings: RetinaFaceSettings, size: int) -> Floats:
    """The priors of a square: float32 (A, 3), centre x and y and side, in pixels."""
    levels = []
    for stride, sides in zip(settings.strides, settings.sides, strict=True):
        cells = -(-size // stride)
        rows, columns = np.divmod(np.arange(cells * cells), cells)
        centres = (np.stack([columns, rows], axis=1) + 0.5) * stride
        each = np.repeat(centres, len(sides), axis=0)
        levels.append(np.column_stack([each, np.tile(sides, cells * cells)]))
    return np.concatenate(levels).astype(np.float32)


def candidates(settings: RetinaFaceSettings, placed: Floats, outputs: Outputs) -> Candidates:
    """Turn the outputs into candidates.

    Raises:
        InputError: an output has another shape.
    """
    offsets = rows_of(outputs, settings.boxes, 4)
    classes = rows_of(outputs, settings.scores, 2)
    if not len(offsets) == len(classes) == len(placed):
        raise InputError(
            f"the graph has {len(offsets)} boxes, and there are {len(placed)} priors.",
            "Give the size, the strides and the sides that the network was made with.",
        )
    centre, side = placed[:, :2], placed[:, 2:]
    shift, growth = np.float32(settings.variances[0]), np.float32(settings.variances[1])
    middle = centre + offsets[:, :2] * shift * side
    half = side * np.exp(np.minimum(offsets[:, 2:] * growth, _MOST_GROWTH)) / 2
    boxes = np.concatenate([middle - half, middle + half], axis=1)
    points = None
    if settings.points is not None:
        moved = rows_of(outputs, settings.points, 2 * POINTS).reshape(-1, POINTS, 2)
        points = centre[:, None] + moved * shift * side[:, None]
    scores = classes[:, 1]
    if settings.score == "logit":
        raised = np.exp(classes - classes.max(axis=1, keepdims=True))
        scores = raised[:, 1] / raised.sum(axis=1)
    return Candidates(boxes, scores, points)

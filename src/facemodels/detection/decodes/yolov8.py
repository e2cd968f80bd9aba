"""Boxes in pixels, as YOLOv8's exported head gives them, with points if it has some.

Source: Jocher et al., Ultralytics YOLOv8, 2023. One output, (1, C, A): centre x, centre y, width,
height in pixels of the square, the score of the one class, and of a pose model x and y of each
point, or x, y and how visible it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from facemodels.detection.decodes.heads import (
    POINTS,
    Candidates,
    HeadDetector,
    HeadSettings,
    Outputs,
    PictureInput,
)
from facemodels.detection.task import IOU_THRESHOLD
from facemodels.errors import InputError
from facemodels.params import parse
from facemodels.runtime import RunAll

_BOX = 5  # numbers of a box with its score
WIDTHS = (_BOX, _BOX + 2 * POINTS, _BOX + 3 * POINTS)


class YoloHeadSettings(HeadSettings):
    """What is asked of a face; the output's width says whether it has points."""

    iou_threshold: float = IOU_THRESHOLD


def decode(graphs: Mapping[str, RunAll], config: Mapping[str, Any]) -> HeadDetector:
    """Return the detector of a package; see `scrfd.decode`.

    Raises:
        ParamsError: `decode` or `preprocessing` does not fit.
    """
    values = {key: value for key, value in config["decode"].items() if key != "name"}
    settings = parse(YoloHeadSettings, values, "decode")
    (run,) = graphs.values()
    picture = PictureInput.of_config(config["preprocessing"])
    return HeadDetector(run, picture, candidates, settings)


def candidates(outputs: Outputs) -> Candidates:
    """Turn the output into candidates.

    Raises:
        InputError: it has another width.
    """
    found = outputs[0]
    if found.ndim != 3 or found.shape[1] not in WIDTHS:
        raise InputError(
            f"output 0 of the graph is {found.shape}, not (1, {' or '.join(map(str, WIDTHS))}, A).",
            "It must have one class, faces; export it without suppression (`nms=False`).",
        )
    rows = np.asarray(found[0], np.float32).T
    middle, half = rows[:, :2], rows[:, 2:4] / 2
    each = (rows.shape[1] - _BOX) // POINTS
    points = rows[:, _BOX:].reshape(-1, POINTS, each)[:, :, :2] if each else None
    boxes = np.concatenate([middle - half, middle + half], axis=1)
    return Candidates(boxes, np.ascontiguousarray(rows[:, 4]), points)

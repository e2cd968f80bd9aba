"""How far an answer can be trusted: what the model is known to do badly, and how often it errs.

It stands beside every answer, since a similarity alone looks surer than it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemodels.package.load import Package
from facemodels.serving.http.errors import RequestError
from facemodels.serving.http.openapi import NUMBER, TEXT, Schema, record

# Of `accuracy_metrics` of a package, by task: the rates at its own threshold.
_RATES: Mapping[str, Sequence[str]] = {
    "detection": ("precision", "recall"),
    "recognition": ("fmr", "fnmr"),
    "landmarks": ("nme", "failure_rate_at_0.08"),
    "system": ("fmr", "fnmr", "failure_to_acquire"),
}
_LEAST_CONTRAST = 4.0  # grey levels; faces of LFW have 20 and more
_LOOKED_AT = 256  # pixels of a side, at most
SCHEMA: Schema = record(
    known_issues=TEXT,
    error_rates={"type": "object", "additionalProperties": NUMBER},
    threshold=NUMBER,
    optional=("threshold",),
)


def reliability(package: Package) -> dict[str, Any]:
    """The known issues, and the rates of errors on the test split at the package's threshold.

    Returns:
        `known_issues`; `error_rates` by name, those that were measured; `threshold`, at which
        they hold, whatever threshold a request names; absent where the task has none.
    """
    metadata = package.metadata
    measured = metadata["accuracy_metrics"]
    rates = {name: measured[name] for name in _RATES[package.task] if name in measured}
    threshold = package.config.get("threshold")
    return {
        "known_issues": metadata.get("known_issues", ""),
        "error_rates": rates,
        **({} if threshold is None else {"threshold": threshold}),
    }


def require_contrast(images: Sequence[NDArray[np.uint8]]) -> None:
    """Refuse pictures that show nothing, where no detector looks for a face.

    A recogniser gives an embedding for everything, and those of empty pictures are much alike.

    Args:
        images: uint8 (H, W, 3).

    Raises:
        RequestError: 422; the contrast is the standard deviation of grey, in levels of 0 to 255.
    """
    for number, image in enumerate(images, start=1):
        steps = [max(1, side // _LOOKED_AT) for side in image.shape[:2]]
        contrast = float(image[:: steps[0], :: steps[1]].mean(axis=2).std())
        if contrast < _LEAST_CONTRAST:
            raise RequestError(
                422, "no_face", f"Image {number} shows nothing: it has hardly any contrast.",
                details={"field": "contrast", "value": contrast, "limit": _LEAST_CONTRAST},
            )  # fmt: skip

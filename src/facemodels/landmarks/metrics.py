"""How far predicted landmarks lie from the true ones: the 300-W protocol.

Source: Sagonas, Tzimiropoulos, Zafeiriou, Pantic, "300 Faces in-the-Wild
Challenge: The First Facial Landmark Localization Challenge", ICCV Workshops
2013: the mean point-to-point distance over the distance of the outer eye
corners, and its cumulative error distribution (CED). Area and failure rate up
to a limit: Sagonas et al., "300 Faces In-The-Wild Challenge: database and
results", Image and Vision Computing 47, 2016.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facemodels.errors import DataError, InputError

N_POINTS = 68
OUTER_EYE_CORNERS = (36, 45)  # of the iBUG points, counted from 0 (37 and 46 in the paper)
LIMIT = 0.08  # NME above which a face counts as failed
CED_POINTS = 81  # with LIMIT, a point every 0.001


@dataclass(frozen=True, eq=False)
class Ced:
    """Cumulative error distribution.

    Attributes:
        errors: float64 (K,), NME from 0 to the limit.
        fractions: float64 (K,), share of faces with an NME up to that, 0..1.
    """

    errors: NDArray[np.float64]
    fractions: NDArray[np.float64]


def nme(predicted: ArrayLike, truth: ArrayLike) -> NDArray[np.float64]:
    """Normalised mean error of each face: mean distance over the inter-ocular distance.

    Args:
        predicted: (N, 68, 2), x y in pixels, iBUG order.
        truth: (N, 68, 2), likewise; its outer eye corners give the scale.

    Returns:
        float64 (N,), >= 0, a fraction (not percent) of the inter-ocular distance.

    Raises:
        DataError: a shape is wrong, a coordinate is not finite, or the true eye
            corners of a face coincide.
    """
    found, true = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    if found.shape != true.shape or found.shape[1:] != (N_POINTS, 2):
        raise DataError(
            f"Predicted points {found.shape} with true points {true.shape}.",
            f"Pass (N, {N_POINTS}, 2) for both.",
        )
    if not (np.isfinite(found).all() and np.isfinite(true).all()):
        raise DataError("A landmark coordinate is not a finite number.")
    left, right = OUTER_EYE_CORNERS
    scale = np.linalg.norm(true[:, left] - true[:, right], axis=1)
    if not np.all(scale > 0):
        raise DataError(
            f"Face {int(np.argmin(scale))}: the outer eye corners coincide, so it has no scale.",
            "Remove the face or correct its points.",
        )
    errors: NDArray[np.float64] = np.linalg.norm(found - true, axis=2).mean(axis=1) / scale
    return errors


def ced(nme_values: ArrayLike, limit: float = LIMIT, points: int = CED_POINTS) -> Ced:
    """Share of faces with an NME <= each of `points` errors from 0 to `limit`, for a plot.

    Raises:
        DataError: no faces, an error that is negative or not finite.
        InputError: the limit is not above 0.
    """
    values = np.sort(_errors(nme_values, limit))
    errors = np.linspace(0, limit, points)
    return Ced(errors=errors, fractions=np.searchsorted(values, errors, side="right") / len(values))


def auc(nme_values: ArrayLike, limit: float = LIMIT) -> float:
    """Area under the CED from 0 to `limit`, over `limit`: 0..1, higher is better.

    Exact: the CED is a sum of steps, and the step at error e has area
    max(0, limit - e). Errors as in `ced`.
    """
    return float(np.maximum(0, limit - _errors(nme_values, limit)).mean() / limit)


def failure_rate(nme_values: ArrayLike, limit: float = LIMIT) -> float:
    """Share of faces with an NME > `limit`, 0..1. Errors as in `ced`."""
    return float(np.mean(_errors(nme_values, limit) > limit))


def _errors(nme_values: ArrayLike, limit: float) -> NDArray[np.float64]:
    values = np.asarray(nme_values, np.float64)
    if not limit > 0:
        raise InputError(f"An NME limit of {limit} is not above 0.")
    if values.ndim != 1 or not len(values):
        raise DataError(f"NME values of shape {values.shape}.", "Pass (N,) with at least one face.")
    if not np.all(np.isfinite(values) & (values >= 0)):
        raise DataError("An NME is negative or not a finite number.")
    return values

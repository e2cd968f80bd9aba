"""Embeddings as all metrics take them: unit vectors in float64, one person's number each."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facemodels.errors import DataError

UNIT_TOLERANCE = 1e-3  # how far a norm may be from 1; float16 embeddings still pass


def unit_vectors(
    embeddings: ArrayLike, identities: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return embeddings float64 (N, D) and the person of each, int64 (N,).

    Raises:
        DataError: embeddings are not unit vectors, or the lengths differ.
    """
    vectors = np.asarray(embeddings, np.float64)
    people = np.asarray(identities, np.int64)
    if vectors.ndim != 2 or people.shape != vectors.shape[:1]:
        raise DataError(f"Embeddings {vectors.shape} with identities {people.shape}.")
    norms = np.linalg.norm(vectors, axis=1)
    if not np.all(np.abs(norms - 1) <= UNIT_TOLERANCE):  # NaN fails this too
        raise DataError("Embeddings are not of unit length.", "Divide each by its norm.")
    return vectors, people

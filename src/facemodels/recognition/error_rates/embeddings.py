"""Embeddings as all metrics take them: unit vectors in float64, one person's number each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facemodels.errors import DataError

UNIT_TOLERANCE = 1e-3  # how far a norm may be from 1; float16 embeddings still pass


_CHECKED_AT_ONCE = 2**16  # rows


def unit_rows(
    embeddings: ArrayLike, identities: ArrayLike
) -> tuple[NDArray[np.floating[Any]], NDArray[np.int64]]:
    """Return embeddings (N, D) as they are, memory-mapped ones too, and the person of each.

    Raises:
        DataError: embeddings are not unit vectors, or the lengths differ.
    """
    vectors = np.asanyarray(embeddings)
    people = np.asarray(identities, np.int64)
    if vectors.ndim != 2 or people.shape != vectors.shape[:1]:
        raise DataError(f"Embeddings {vectors.shape} with identities {people.shape}.")
    for start in range(0, len(vectors), _CHECKED_AT_ONCE):
        part = np.asarray(vectors[start : start + _CHECKED_AT_ONCE], np.float64)
        norms = np.linalg.norm(part, axis=1)
        if not np.all(np.abs(norms - 1) <= UNIT_TOLERANCE):  # NaN fails this too
            raise DataError("Embeddings are not of unit length.", "Divide each by its norm.")
    return vectors, people


def unit_vectors(
    embeddings: ArrayLike, identities: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return embeddings float64 (N, D) and the person of each, int64 (N,).

    Raises:
        DataError: embeddings are not unit vectors, or the lengths differ.
    """
    vectors, people = unit_rows(embeddings, identities)
    return vectors.astype(np.float64), people

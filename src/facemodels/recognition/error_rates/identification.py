"""Identification: a face is searched in a gallery of enrolled people.

Closed-set rank 1 asks whether the nearest enrolled face is the right person. In an open set
some of the people searched for are not enrolled, and a search returns nobody below a threshold:

- FPIR: the share of searches for unenrolled people that return anybody (false positives).
- FNIR: the share of searches for enrolled people that do not return the right one at rank 1,
  at or above the threshold (false negatives).

Source: ISO/IEC 19795-1 and NIST's FRTE 1:N (Grother, Ngan, Hanaoka, NISTIR 8271).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facemodels.errors import DataError
from facemodels.recognition.error_rates.embeddings import unit_vectors
from facemodels.recognition.error_rates.support import require_supported

_PROBES_AT_ONCE = 1024  # fewer where the gallery is so big that
_SIMILARITIES_AT_ONCE = 2**25  # would be exceeded: 256 MiB


@dataclass(frozen=True, eq=False)
class Rank1:
    """Closed-set identification of Q probes among G people.

    Attributes:
        accuracy: share of probes whose nearest gallery face is the same person, 0..1.
        n_people: G, the people of the gallery.
        probes: intp (Q,), indices of the probe faces.
        correct: bool (Q,), which probes were identified.
    """

    accuracy: float
    n_people: int
    probes: NDArray[np.intp]
    correct: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class OpenSet:
    """Searches of an open set.

    Attributes:
        enrolled: people in the gallery.
        mated: float64 (M,), for each search of an enrolled person the similarity with the
            person's own gallery face, or -inf where another one is as near.
        nonmated: float64 (U,), for each search of an unenrolled person the similarity with
            the nearest gallery face.
    """

    enrolled: int
    mated: NDArray[np.float64]
    nonmated: NDArray[np.float64]


@dataclass(frozen=True)
class IdentificationErrors:
    """FNIR and FPIR (0..1) at a threshold."""

    fnir: float
    fpir: float
    threshold: float


def rank1(
    embeddings: ArrayLike,
    identities: ArrayLike,
    found: NDArray[np.bool_] | None = None,
    *,
    gallery: ArrayLike | None = None,
) -> Rank1:
    """Closed-set rank-1 identification by cosine similarity.

    Of each person with at least two images, the first in the order given is the
    gallery and the others are probes; people with one image take no part. A probe
    is identified when its own person is strictly nearer than every other: a tie is
    a miss, so that a model that maps all faces to one point scores 0.

    Source of gallery, probe and rank: Phillips, Grother, Micheals, "Evaluation
    Methods in Face Recognition", in Handbook of Face Recognition, 2011.

    Args:
        embeddings: (N, D), unit length.
        identities: integer (N,), the person of each image.
        found: bool (N,), whether each face was found; one that was not is like nobody (-1).
            All were if None.
        gallery: (N, D), unit length, another model's embeddings of the same images: the enrolled
            ones are taken of them. `embeddings` again if None.

    Raises:
        DataError: embeddings are not unit vectors, lengths differ, or fewer than
            two people have two images.
    """
    vectors, people = unit_vectors(embeddings, identities)
    others = vectors if gallery is None else unit_vectors(gallery, identities)[0]
    _, first, person, counts = np.unique(
        people, return_index=True, return_inverse=True, return_counts=True
    )
    several = counts >= 2
    if several.sum() < 2:
        raise DataError(
            f"{several.sum()} people have two images or more; identification needs two people."
        )
    is_probe = several[person]
    is_probe[first] = False
    probes = np.flatnonzero(is_probe)
    column = np.cumsum(several) - 1  # a person's column in the gallery
    own = _own_if_nearest(vectors, others, probes, first[several], column[person[probes]], found)
    correct = np.isfinite(own)
    return Rank1(
        accuracy=float(correct.mean()),
        n_people=int(several.sum()),
        probes=probes,
        correct=correct,
    )


def open_set(
    embeddings: ArrayLike,
    identities: ArrayLike,
    found: NDArray[np.bool_] | None = None,
    *,
    gallery: ArrayLike | None = None,
) -> OpenSet:
    """Search all faces of a set of which every other person is enrolled.

    Of the people with two images or more, in the order of their numbers, the first, third,
    fifth … are enrolled with their first image; their other images are the mated searches.
    The images of all other people are the nonmated searches.

    Args:
        embeddings: (N, D), unit length.
        identities: integer (N,), the person of each image.
        found: bool (N,), whether each face was found; one that was not is like nobody (-1).
            All were if None.
        gallery: (N, D), unit length, another model's embeddings of the same images: the enrolled
            ones are taken of them. `embeddings` again if None.

    Raises:
        DataError: embeddings are not unit vectors, lengths differ, fewer than two people
            would be enrolled, or nobody would be left out.
    """
    vectors, people = unit_vectors(embeddings, identities)
    others = vectors if gallery is None else unit_vectors(gallery, identities)[0]
    _, first, person, counts = np.unique(
        people, return_index=True, return_inverse=True, return_counts=True
    )
    enrolled = np.zeros(len(counts), np.bool_)
    enrolled[np.flatnonzero(counts >= 2)[::2]] = True
    if enrolled.sum() < 2 or enrolled.all():
        raise DataError(
            f"{enrolled.sum()} of {len(counts)} people can be enrolled; an open set needs two "
            "enrolled people and one who is not.",
            "Evaluate on more people with two images or more.",
        )
    enrolled_faces = first[enrolled]
    is_mated = enrolled[person]
    is_mated[enrolled_faces] = False
    mated = np.flatnonzero(is_mated)
    column = np.cumsum(enrolled) - 1
    strangers = np.flatnonzero(~enrolled[person])
    searches = _similarities(vectors, others, strangers, enrolled_faces, found)
    return OpenSet(
        enrolled=len(enrolled_faces),
        mated=_own_if_nearest(vectors, others, mated, enrolled_faces, column[person[mated]], found),
        nonmated=np.concatenate([part.max(axis=1) for _, part in searches]),
    )


def fnir_at_fpir(searches: OpenSet, fpir: float) -> IdentificationErrors:
    """The lowest FNIR among thresholds whose measured FPIR is <= `fpir`.

    The threshold lies just above the similarity that may no longer be returned.

    Raises:
        InputError: `fpir` is not in 0..1, or the searches are too few to show it.
    """
    n = len(searches.nonmated)
    require_supported(fpir, n, "An FPIR (of nonmated searches)")
    falling = np.sort(searches.nonmated)[::-1]
    returned = np.arange(1, n + 1) / n
    place = int(np.searchsorted(returned, fpir, side="right"))
    if place == n:  # every search may return somebody
        lowest = float(min(falling[-1], searches.mated[np.isfinite(searches.mated)].min(initial=1)))
        threshold = lowest
    else:
        threshold = float(np.nextafter(falling[place], np.inf))
    return IdentificationErrors(
        fnir=float((searches.mated < threshold).mean()),
        fpir=float((searches.nonmated >= threshold).mean()),
        threshold=threshold,
    )


def _similarities(
    vectors: NDArray[np.float64],
    others: NDArray[np.float64],
    probes: NDArray[np.intp],
    gallery: NDArray[np.intp],
    found: NDArray[np.bool_] | None,
) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Similarities (Q', G) of probes with the gallery, some probes at a time."""
    enrolled = others[gallery].T
    rows = max(1, min(_PROBES_AT_ONCE, _SIMILARITIES_AT_ONCE // max(1, len(gallery))))
    for start in range(0, len(probes), rows):
        part = slice(start, min(start + rows, len(probes)))
        similarity = vectors[probes[part]] @ enrolled
        if found is not None:
            similarity[~found[probes[part]]] = -1.0
            similarity[:, ~found[gallery]] = -1.0
        yield part, similarity


def _own_if_nearest(
    vectors: NDArray[np.float64],
    others: NDArray[np.float64],
    probes: NDArray[np.intp],
    gallery: NDArray[np.intp],
    own_column: NDArray[np.intp],
    found: NDArray[np.bool_] | None,
) -> NDArray[np.float64]:
    """Similarity of each probe with its own gallery face, -inf unless that is the nearest."""
    scores = np.empty(len(probes))
    for part, similarity in _similarities(vectors, others, probes, gallery, found):
        rows, mates = np.arange(len(similarity)), own_column[part]
        own = similarity[rows, mates]
        similarity[rows, mates] = -np.inf
        scores[part] = np.where(own > similarity.max(axis=1), own, -np.inf)
    return scores

"""Who a face is: the people of a gallery that are most alike, or unknown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from facemodels.gallery.index import GalleryIndex, Match
from facemodels.gallery.opened import OperatingThreshold
from facemodels.system.faces import Face


@dataclass(frozen=True)
class IdentifiedFace:
    """What a gallery says of one face.

    Attributes:
        face: what was searched.
        people: the most alike people, best first; none where the gallery has none.
        threshold: by which it was decided, with its false match rate.
    """

    face: Face = field(repr=False)  # with its embedding
    people: tuple[Match, ...]
    threshold: OperatingThreshold

    @property
    def person(self) -> str | None:
        """The best person, if the similarity reaches the threshold; None is unknown."""
        best = self.people[0] if self.people else None
        return best.person if best and best.similarity >= self.threshold.threshold else None

    def as_json(self) -> dict[str, Any]:
        """The decision and what it is made of; no embedding."""
        return {
            "box": [float(edge) for edge in self.face.box],
            "score": float(self.face.score),
            "quality": {
                "eyes": self.face.quality.eyes,
                "sharpness": self.face.quality.sharpness,
            },
            "person": self.person,
            "people": [match._asdict() for match in self.people],
            "threshold": self.threshold.threshold,
            "fmr": self.threshold.fmr,
        }


def identify(
    index: GalleryIndex, faces: Sequence[Face], threshold: OperatingThreshold, *, top: int = 5
) -> list[IdentifiedFace]:
    """Search faces in a gallery.

    The false match rate is that of one comparison. A stranger is compared with everybody: with N
    people the rate of false alarms (FPIR, ISO/IEC 19795-1) is at most 1 - (1 - FMR)**N, if each
    has one row and the comparisons are independent.

    Args:
        index: of the gallery, in the embedding space of the faces.
        faces: one or more.
        threshold: from which on the best person counts.
        top: most people of each answer, 1 or more.

    Raises:
        InputError: the embeddings are of another length than those of the gallery.
    """
    embeddings = np.stack([face.embedding for face in faces])
    found = index.search(embeddings, top)
    return [
        IdentifiedFace(face, tuple(people), threshold)
        for face, people in zip(faces, found, strict=True)
    ]

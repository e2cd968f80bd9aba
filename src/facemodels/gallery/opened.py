"""A system whose embeddings a gallery holds: how it finds faces, and what it decides by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from facemodels.errors import InputError
from facemodels.gallery.spaces import SpaceFacts
from facemodels.package.load import Package
from facemodels.system.calibration import Calibration
from facemodels.system.faces import Face
from facemodels.system.quality import QualityLimits

# The chance that a face that is enrolled is like somebody else's, where no rate is asked for.
_FALSE_CONFLICTS = 0.01

Find = Callable[..., list[Face]]  # as `FaceSystem.find`


@dataclass(frozen=True)
class OperatingThreshold:
    """From which similarity on two faces count as one person's.

    Attributes:
        threshold: cosine, -1..1.
        fmr: the false match rate of one comparison that it gives, as the system was measured.
    """

    threshold: float
    fmr: float


@dataclass(frozen=True, eq=False)
class GallerySystem:
    """A system as galleries use it.

    Attributes:
        name: id and digest of its package.
        space: the embedding space of its recogniser.
        dimension: D, the length of an embedding.
        find: finds the faces of a photo, see `FaceSystem.find`.
        min_score: the least score of a face that it finds, 0..1.
        limits: the least that a face must have.
        threshold: its own, of verification.
        calibration: the threshold of each false match rate.
    """

    name: str
    space: str
    dimension: int
    find: Find
    min_score: float
    limits: QualityLimits
    threshold: float
    calibration: Calibration

    @classmethod
    def of(cls, package: Package, *, threads: int = 1) -> GallerySystem:
        """Load the system of a package.

        Raises:
            InputError: it is not the package of a system.
        """
        if package.task != "system":
            raise InputError(
                f"{package.id} is no system: it does not go from a photo to its faces.",
                "Give a system, as `facemodels bundle` makes it.",
            )
        return cls.around(package, package.predictor(threads=threads))

    @classmethod
    def around(cls, package: Package, predictor: Any) -> GallerySystem:
        """The system of a package whose predictor, a `FaceSystem`, is loaded already."""
        return cls(
            name=f"{package.id} sha256:{package.digest}",
            space=str(package.metadata["embedding_space"]),
            dimension=int(predictor.embedder.embedding_size),
            find=predictor.find,
            min_score=float(package.config["min_score"]),
            limits=QualityLimits.model_validate(package.config["quality"]),
            threshold=float(package.config["threshold"]),
            calibration=Calibration.of_json(package.config["calibration"]),
        )

    def facts(self, gallery: str) -> SpaceFacts:
        """What gallery.json says of a gallery that this system makes."""
        return SpaceFacts(gallery, self.space, self.dimension, self.name)

    def operating_threshold(
        self, *, threshold: float | None = None, fmr: float | None = None
    ) -> OperatingThreshold:
        """The threshold that was asked for, or that gives a rate; the system's own if neither.

        Raises:
            InputError: both are given, or the rate is not one that the calibration shows.
        """
        if threshold is not None and fmr is not None:
            raise InputError("a threshold and a false match rate are given.", "Give one of them.")
        if fmr is not None:
            threshold = self.calibration.threshold(fmr)
        chosen = self.threshold if threshold is None else threshold
        return OperatingThreshold(chosen, self.calibration.fmr(chosen))

    def threshold_among(self, faces: int) -> float:
        """The threshold at which a stranger is rarely like one of so many enrolled faces.

        One in a hundred strangers is, by the false match rate of one comparison divided by the
        number of faces; more where the calibration's pairs show no rate so low. It is never
        below the system's own threshold.
        """
        lowest, highest = self.calibration.rates[0], self.calibration.rates[-1]
        rate = min(max(_FALSE_CONFLICTS / max(faces, 1), lowest), highest)
        return max(self.threshold, self.calibration.threshold(rate))

"""Tries the preprocessing that an importer states against others that are in use.

Swapped channels or a wrong scale cost accuracy and raise no error: enrolment and probe are wrong
alike. So faces with known identities are embedded in each way. The figure is the area under
the ROC over all pairs of these faces (0..1: how likely a pair of one person outscores a pair of
two). Another way counts as better only if the interval of the difference, paired and over
resampled people, lies above 0, at a confidence that allows for the number of ways tried
(Bonferroni), and if it leaves a tenth less of the error (1 - AUC). One property is changed at a
time; where one is better, the search goes on from it. Mirrored faces are tried too, as a hint
that left and right are swapped somewhere; that alone stops no import.

Sources of the ways: InsightFace (BGR read by OpenCV, swapped to RGB, (x - 127.5) / 127.5);
facenet-pytorch ((x - 127.5) / 128); torchvision (ImageNet's mean and standard deviation); Keras
(0..1, and "caffe": raw BGR).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemodels.data.splits import RecognitionSplit, image_names
from facemodels.errors import DataError
from facemodels.evaluate import bootstrap
from facemodels.imaging import CROPS
from facemodels.progress import Advance, progress
from facemodels.recognition.task import Colour, Embedder, Preprocessing

RESAMPLES = 500
ERROR = 0.05  # how often any other way is called better although none is
LESS_ERROR = 0.1  # share of 1 - AUC that a better way must save
_SEED = 1
_ROUNDS = 3
_PEOPLE, _FACES_EACH = 100, 4  # most; a way takes 400 embeddings
_FACES_AT_ONCE = 32
_IMAGENET_MEAN = (123.675, 116.28, 103.53)  # RGB, of pixels 0..255
_IMAGENET_DEVIATION = (58.395, 57.12, 57.375)
_SCALINGS: Mapping[str, tuple[tuple[float, float, float], float]] = {
    "0..1": ((0.0, 0.0, 0.0), 1 / 255),
    "-1..1, 127.5 and 1/128": ((127.5, 127.5, 127.5), 1 / 128),
    "raw 0..255": ((0.0, 0.0, 0.0), 1.0),
}


@dataclass(frozen=True)
class Way:
    """One way to turn a face into an input.

    Attributes:
        name: what differs from the stated way.
        preprocessing: colour, scaling and crop.
        mirrored: whether faces are mirrored, left to right.
    """

    name: str
    preprocessing: Preprocessing
    mirrored: bool = False


@dataclass(frozen=True)
class TriedWay:
    """A way and its figure beside the stated one.

    Attributes:
        way: the way.
        auc: area under the ROC over all pairs, 0..1.
        stated: the figure of the stated way.
        low: end of the interval of `auc - stated`; 0 for the stated way itself.
        high: likewise.
        better: whether the interval lies above 0.
    """

    way: Way
    auc: float
    stated: float
    low: float
    high: float
    better: bool

    def as_json(self) -> dict[str, Any]:
        """Return the name, the figures and the verdict."""
        figures = {"auc": self.auc, "low": self.low, "high": self.high}
        rounded = {name: round(value, 6) for name, value in figures.items()}
        return {"way": self.way.name, **rounded, "better": self.better}


@dataclass(frozen=True)
class PreprocessingTrial:
    """All ways that were tried, the stated one first.

    Attributes:
        tried: the ways.
        best: the way that is clearly better than the stated one, and that no change of a single
            property clearly betters; None if the stated one is as good as any.
        faces: how many faces were embedded in each way.
        people: how many people they show.
        confidence: of the intervals.
    """

    tried: tuple[TriedWay, ...]
    best: TriedWay | None
    faces: int
    people: int
    confidence: float

    @property
    def hint(self) -> TriedWay | None:
        """Mirrored faces, where they are better."""
        return next((one for one in self.tried if one.better and one.way.mirrored), None)


@dataclass(frozen=True)
class CalibrationFaces:
    """Faces that nothing is reported on, in each crop that the data has.

    Attributes:
        crops: uint8 (N, S, S, 3) by name of the crop.
        person: intp (N,), 0..P-1.
    """

    crops: Mapping[str, NDArray[np.uint8]]
    person: NDArray[np.intp]


def calibration_faces(data: Path, *, people: int = _PEOPLE) -> CalibrationFaces:
    """Take faces of `val`, then of `train`, which a model of others has not seen either.

    Raises:
        DataError: fewer than two people have two faces.
    """
    images: dict[str, list[NDArray[np.uint8]]] = {}
    persons: list[NDArray[np.intp]] = []
    left = people
    for name in ("val", "train"):
        folder = data / name
        crops = image_names(folder)
        split = RecognitionSplit.load(folder)
        rows, person = _drawn(split, left)
        for crop in crops:
            images.setdefault(crop, []).append(RecognitionSplit.load(folder, crop).images[rows])
        persons.append(person + people - left)
        left -= int(person.max(initial=-1)) + 1
    if people - left < 2:
        raise DataError(
            f"{data} has fewer than two people with two faces in val and train.",
            "Give more data, or import without the trial (--no-trial).",
        )
    whole = {name: np.concatenate(parts) for name, parts in images.items() if len(parts) == 2}
    return CalibrationFaces(whole, np.concatenate(persons))


def try_alternatives(model: Embedder, faces: CalibrationFaces) -> PreprocessingTrial:
    """Embed the faces in the stated way and in others, and compare.

    Args:
        model: the recogniser in the stated way, whose crop the faces have.
        faces: the faces.
    """
    pairs = _Pairs.of(faces.person)
    start = Way("as stated", model.preprocessing)
    ways = _ways(start, faces)
    confidence = 1 - ERROR / len(ways)
    (stated,) = _scored(model, [start], faces, pairs, "embed as stated")
    tried = [TriedWay(start, stated.auc(), stated.auc(), 0.0, 0.0, better=False)]
    best: TriedWay | None = None
    here = stated
    for _ in range(_ROUNDS):
        scored = _scored(model, ways, faces, pairs, "try preprocessing")
        found = [
            _compared(way, one, stated, confidence) for way, one in zip(ways, scored, strict=True)
        ]
        tried += found
        place = _ahead(found, scored, here, confidence)
        if place is None:
            break
        best, here = found[place], scored[place]
        seen = {_key(one.way) for one in tried}
        ways = [way for way in _ways(best.way, faces) if _key(way) not in seen and not way.mirrored]
    return PreprocessingTrial(tuple(tried), best, len(faces.person), pairs.people, confidence)


def _ahead(
    found: Sequence[TriedWay], scored: Sequence[_Scored], here: _Scored, confidence: float
) -> int | None:
    """The best of the ways that are better than the stated one and than where the round began."""
    ranked = sorted(range(len(found)), key=lambda place: -found[place].auc)
    for place in ranked:
        way = found[place].way
        better = found[place].better and not way.mirrored
        if better and _compared(way, scored[place], here, confidence).better:
            return place
    return None


def _scored(
    model: Embedder, ways: Sequence[Way], faces: CalibrationFaces, pairs: _Pairs, label: str
) -> list[_Scored]:
    with progress(label, len(faces.person) * len(ways)) as advance:
        return [_Scored.of(_embedded(model, way, faces, advance), pairs) for way in ways]


def _ways(start: Way, faces: CalibrationFaces) -> list[Way]:
    """The ways that differ from one in a single property."""
    stated = start.preprocessing
    prefix = "" if start.name == "as stated" else f"{start.name}; "
    other: Colour = "BGR" if stated.colour == "RGB" else "RGB"
    # With its channels a mean of three numbers is swapped too.
    swapped = replace(stated, colour=other, mean=stated.mean[::-1], scale=_reversed(stated.scale))
    ways = [Way(f"{prefix}colour {other}", swapped)]
    for name, (mean, scale) in scalings(stated.colour).items():
        if not same_scaling((stated.mean, stated.scale), (mean, scale)):
            ways.append(Way(f"{prefix}scaling {name}", replace(stated, mean=mean, scale=scale)))
    here = stated.crop.name if stated.crop else ""
    ways += [
        Way(f"{prefix}crop {name}", replace(stated, crop=CROPS[name]))
        for name in faces.crops
        if name != here and name in CROPS
    ]
    return [*ways, Way(f"{prefix}mirrored", stated, mirrored=True)]


def scalings(colour: str) -> dict[str, tuple[tuple[float, float, float], Any]]:
    """Mean and scale of the scalings that are in use, in an order of channels, by name."""
    mean, deviation = _IMAGENET_MEAN, _IMAGENET_DEVIATION
    if colour == "BGR":
        mean, deviation = mean[::-1], deviation[::-1]
    imagenet = (mean, tuple(1 / one for one in deviation))
    return {**_SCALINGS, "ImageNet's mean and deviation": imagenet}


def same_scaling(one: tuple[Any, Any], other: tuple[Any, Any]) -> bool:
    """Whether two scalings, each a mean and a scale, map 0 and 255 to nearly the same values."""

    def ends(mean: Any, scale: Any) -> NDArray[np.float64]:
        return np.asarray((np.array([[0.0], [255.0]]) - mean) * np.asarray(scale), np.float64)

    return bool(np.abs(ends(*one) - ends(*other)).max() < 0.02)


def _reversed(scale: float | tuple[float, float, float]) -> float | tuple[float, float, float]:
    return scale[::-1] if isinstance(scale, tuple) else scale


def _key(way: Way) -> tuple[Any, ...]:
    how = way.preprocessing
    return how.colour, how.mean, how.scale, how.crop.name if how.crop else "", way.mirrored


def _drawn(split: RecognitionSplit, people: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of the first people with two faces that were found, a few of each, and their numbers."""
    rows: list[int] = []
    person: list[int] = []
    number = 0
    for identity in np.unique(split.identities):
        if number >= people:
            break
        own = np.flatnonzero((split.identities == identity) & split.found)[:_FACES_EACH]
        if len(own) >= 2:
            rows += own.tolist()
            person += [number] * len(own)
            number += 1
    return np.array(rows, np.intp), np.array(person, np.intp)


def _embedded(
    model: Embedder, way: Way, faces: CalibrationFaces, advance: Advance
) -> NDArray[np.float32]:
    crop = way.preprocessing.crop
    images = faces.crops[crop.name if crop else next(iter(faces.crops))]
    if way.mirrored:
        images = images[:, :, ::-1]
    embedder = replace(model, preprocessing=way.preprocessing)
    parts = []
    for start in range(0, len(images), _FACES_AT_ONCE):
        part = images[start : start + _FACES_AT_ONCE]
        parts.append(np.nan_to_num(embedder.embed(list(part))))
        advance(len(part))
    return np.concatenate(parts)


@dataclass(frozen=True, eq=False)
class _Pairs:
    """All pairs of N faces of P people: the person of each side, and whether they are one."""

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    rows: tuple[NDArray[np.intp], NDArray[np.intp]]
    same: NDArray[np.bool_]
    people: int

    @classmethod
    def of(cls, person: NDArray[np.intp]) -> _Pairs:
        one, other = np.triu_indices(len(person), k=1)
        first, second = person[one], person[other]
        return cls(first, second, (one, other), first == second, int(person.max()) + 1)


@dataclass(frozen=True, eq=False)
class _Scored:
    """The pairs in the order of their scores under one way, rising."""

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    same: NDArray[np.bool_]
    tied: NDArray[np.intp]  # for each genuine pair, how many pairs score below it …
    upto: NDArray[np.intp]  # … and how many score at most as much
    genuine: NDArray[np.intp]  # the genuine pairs
    people: int

    @classmethod
    def of(cls, embeddings: NDArray[np.float32], pairs: _Pairs) -> _Scored:
        scores = np.einsum("pd,pd->p", embeddings[pairs.rows[0]], embeddings[pairs.rows[1]])
        order = np.argsort(scores, kind="stable")
        rising, same = scores[order], pairs.same[order]
        genuine = np.flatnonzero(same)
        return cls(
            pairs.first[order],
            pairs.second[order],
            same,
            np.searchsorted(rising, rising[genuine], side="left"),
            np.searchsorted(rising, rising[genuine], side="right"),
            genuine,
            pairs.people,
        )

    def auc(self, people: NDArray[np.intp] | None = None) -> float:
        """Area under the ROC; a person drawn w times weighs w, a pair of two the product.

        The weights are those of `recognition.error_rates.all_pairs`.
        """
        counts = (
            np.ones(self.people) if people is None else np.bincount(people, minlength=self.people)
        )
        impostor = counts[self.first] * counts[self.second]
        impostor[self.same] = 0
        below = np.concatenate([[0.0], np.cumsum(impostor)])
        weight = counts[self.first[self.genuine]].astype(np.float64)
        beaten = (below[self.tied] + below[self.upto]) / 2
        return float((weight @ beaten) / (weight.sum() * below[-1]))


def _compared(way: Way, scored: _Scored, base: _Scored, confidence: float) -> TriedWay:
    difference = bootstrap.paired_difference(
        scored.auc, base.auc, base.people, resamples=RESAMPLES, seed=_SEED, confidence=confidence
    )
    auc, stated = scored.auc(), base.auc()
    better = difference.low > 0 and 1 - auc <= (1 - LESS_ERROR) * (1 - stated)
    return TriedWay(way, auc, stated, difference.low, difference.high, better=better)

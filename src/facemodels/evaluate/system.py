"""System: from photos to answers, so that what detection and alignment lose counts too.

Every known face of a photo is a sample. It is acquired where the system finds a face whose box
overlaps it by an IoU of 0.5, or, where only the person of a photo is known, where it finds any
face: then the one nearest to the middle of the photo is meant. A face that is not acquired matches
nobody (ISO/IEC 19795-1: failure to acquire), so that FNMR and FNIR include it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facemodels.data.splits import PhotoSplit
from facemodels.detection.task import iou
from facemodels.errors import DataError
from facemodels.evaluate.evaluation import Evaluation, Resampled
from facemodels.evaluate.side_by_side import side_by_side
from facemodels.imaging import chosen
from facemodels.progress import progress
from facemodels.recognition.error_rates import all_pairs, identification
from facemodels.recognition.error_rates.all_pairs import AllPairs
from facemodels.recognition.error_rates.support import is_supported
from facemodels.system.calibration import Calibration, calibrate
from facemodels.system.faces import Face, FaceSystem

VERSION = 1  # raised when a figure is measured in another way
THRESHOLD = "the system's own; else FMR of 1e-2 on val, or the lowest that val shows"
FMR = 1e-2
_FMRS = {"1e-1": 1e-1, "1e-2": 1e-2, "1e-3": 1e-3, "1e-4": 1e-4}
_FPIRS = {"1e-1": 1e-1, "1e-2": 1e-2}
_LEAST_IOU = 0.5


@dataclass(frozen=True, eq=False)
class Acquired:
    """What a system made of the M known faces of a split.

    Attributes:
        embeddings: float32 (M, D), unit vectors; that of a face that was not found means nothing.
        found: bool (M,), whether each face was acquired.
        person: int32 (M,), its person.
        others: faces that the system found where none is known.
    """

    embeddings: NDArray[np.float32]
    found: NDArray[np.bool_]
    person: NDArray[np.int32]
    others: int


def acquire(system: FaceSystem, split: PhotoSplit, label: str) -> Acquired:
    """Run a system on the photos of a split."""
    size = system.embedder.embedding_size
    embeddings = np.zeros((len(split.person), size), np.float32)
    embeddings[:, 0] = 1
    found = np.zeros(len(split.person), np.bool_)
    others = 0
    with progress(f"find faces in {label}", len(split)) as advance:
        images = (np.array(image) for image in split.images)
        for index, faces in enumerate(side_by_side(system.find, images)):
            image = split.images[index]
            rows = np.flatnonzero(split.box_image == index)
            pairs = _matched(faces, split.boxes[rows], image.shape[1], image.shape[0])
            for place, face in pairs.items():
                embeddings[rows[place]], found[rows[place]] = face.embedding, True
            if not np.isnan(split.boxes[rows]).any():
                others += len(faces) - len(pairs)
            advance(1)
    return Acquired(embeddings, found, split.person, others)


def _matched(
    faces: list[Face], boxes: NDArray[np.float32], width: int, height: int
) -> dict[int, Face]:
    """The found face of each known one, by its row; best faces choose first."""
    if not faces:
        return {}
    places = np.stack([face.box for face in faces])
    if np.isnan(boxes).any():
        return {0: faces[chosen(places, width, height, "centre")]}
    pairs: dict[int, Face] = {}
    for face in faces:
        overlaps = np.array(iou(face.box, boxes), np.float64)
        overlaps[list(pairs)] = 0.0
        if len(overlaps) and overlaps.max() >= _LEAST_IOU:
            pairs[int(overlaps.argmax())] = face
    return pairs


def calibration(system: FaceSystem, data: Path, source: str = "val") -> Calibration:
    """The thresholds of the system on the val split of prepared photos; `source` is its name."""
    val = acquire(system, PhotoSplit.load(data / "val"), "validation photos")
    return calibrate(all_pairs.all_pairs(val.embeddings, val.person, val.found), source)


def evaluate(system: FaceSystem, data: Path) -> Evaluation:
    """Measure on `test`, at the system's own threshold or at one that is chosen on `val`."""
    threshold = system.threshold
    if threshold is None:
        known = calibration(system, data)
        threshold = known.threshold(max(FMR, known.rates[0]))
    test = acquire(system, PhotoSplit.load(data / "test"), "test photos")
    pairs = all_pairs.all_pairs(test.embeddings, test.person, test.found)
    at = all_pairs.rates_at(pairs, threshold)
    fnmrs = {
        f"fnmr_at_fmr_{name}": all_pairs.fnmr_at_fmr(pairs, fmr).fnmr
        for name, fmr in _FMRS.items()
        if is_supported(fmr, pairs.n_impostor)
    }
    fnirs, notes = _fnirs(test)
    found = float(test.found.mean())
    primary = "fnmr_at_fmr_1e-2" if "fnmr_at_fmr_1e-2" in fnmrs else "fnmr_at_fmr_1e-1"
    return Evaluation(
        metrics={
            "recall": found,
            "failure_to_acquire": 1 - found,
            "other_faces": float(test.others),
            "fmr": at.fmr,
            "fnmr": at.fnmr,
            **fnmrs,
            "rank1": identification.rank1(test.embeddings, test.person, test.found).accuracy,
            **fnirs,
        },
        groups={},
        curves={"det": _det(pairs)},
        threshold=threshold,
        primary=primary,
        resampled={
            name: Resampled(partial(_fnmr, pairs, _FMRS[name[12:]]), pairs.n_people, False)
            for name in fnmrs
        },
        notes=tuple(notes),
        stamp={"crop": system.crop.name},
    )


def _fnmr(pairs: AllPairs, fmr: float, people: NDArray[np.intp]) -> float:
    return all_pairs.fnmr_at_fmr(pairs, fmr, people=people).fnmr


def _fnirs(test: Acquired) -> tuple[dict[str, float], list[str]]:
    try:
        searches = identification.open_set(test.embeddings, test.person, test.found)
    except DataError as error:
        return {}, [f"FNIR is left out: {error}"]
    return {
        f"fnir_at_fpir_{name}": identification.fnir_at_fpir(searches, fpir).fnir
        for name, fpir in _FPIRS.items()
        if is_supported(fpir, len(searches.nonmated))
    }, []


def _det(pairs: AllPairs) -> list[dict[str, float]]:
    curve = all_pairs.det(pairs)
    return [
        {"fmr": float(fmr), "fnmr": float(fnmr)}
        for fmr, fnmr in zip(curve.fmr, curve.fnmr, strict=True)
    ]

"""System: members that work together, measured from the photo on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from facemodels.errors import InputError
from facemodels.evaluate import system as protocol
from facemodels.evaluate.evaluation import Evaluation
from facemodels.evaluate.protocols import evaluate
from facemodels.package.load import Package
from facemodels.system.calibration import Calibration
from facemodels.system.faces import FaceSystem
from facemodels.system.task import served_members

_MIN_SCORE = 0.5  # of a detector whose package has no threshold


@dataclass(frozen=True)
class MeasuredSystem:
    """What was measured of a system.

    Attributes:
        calibration: the threshold of each false match rate.
        evaluation: on the test photos, at the threshold of the rate that was asked for.
    """

    calibration: Calibration
    evaluation: Evaluation


def members_of(packages: Sequence[Package]) -> dict[str, Package]:
    """The packages by task.

    Raises:
        InputError: two are of one task, one is a system, or detector or recogniser is missing.
    """
    members: dict[str, Package] = {}
    for package in packages:
        if package.task == "system":
            raise InputError(f"{package.id} is a system itself.", "Name its members.")
        if package.task in members:
            raise InputError(f"{members[package.task].id} and {package.id} have one task.")
        members[package.task] = package
    missing = [task for task in ("detection", "recognition") if task not in members]
    if missing:
        raise InputError(f"a system needs a member for {' and '.join(missing)}.")
    return dict(sorted(members.items()))


def min_score(members: Mapping[str, Package]) -> float:
    """The least score of a face that is looked at, 0..1: the detector's own threshold."""
    least = members["detection"].config.get("threshold")
    return float(_MIN_SCORE if least is None else least)


def measure_system(
    members: Mapping[str, Package],
    data: Path,
    *,
    fmr: float,
    threads: int,
    source: str,
    calibration: Calibration | None = None,
) -> MeasuredSystem:
    """Measure a system of members on photos.

    Args:
        members: the verified packages, by task, see `members_of`.
        data: prepared photos: `val` calibrates, `test` judges.
        fmr: the false match rate at whose threshold it is judged.
        threads: of each member's runtime.
        source: the name of the photos.
        calibration: one that was measured on other photos; that of `val` if None.

    Raises:
        InputError: the members do not fit together, the calibration is of another recogniser,
            or the photos cannot show the rate.
    """
    system = _opened(members, threads)
    if calibration is None:
        measured = protocol.calibration(system, data, source=f"val of {source}")
        calibration = replace(measured, **_recogniser(members))
    _require_recogniser(calibration, members)
    judged = replace(system, threshold=calibration.threshold(fmr))
    return MeasuredSystem(calibration, evaluate("system", judged, data))


def _opened(members: Mapping[str, Package], threads: int) -> FaceSystem:
    predictors = {task: package.predictor(threads=threads) for task, package in members.items()}
    return served_members(predictors, {"min_score": min_score(members)})


def _recogniser(members: Mapping[str, Package]) -> dict[str, Any]:
    """Whose similarities a calibration with these members is of."""
    known = members["recognition"].metadata
    return {
        "embedding_space": str(known["embedding_space"]),
        "recogniser": str(known["checksum"]),
    }


def _require_recogniser(calibration: Calibration, members: Mapping[str, Package]) -> None:
    """Refuse thresholds that are of the similarities of another recogniser.

    Two recognisers of one space can be compared with each other; how often each takes
    strangers for one person at a threshold is its own.
    """
    for field, own in _recogniser(members).items():
        if (measured := getattr(calibration, field)) != own:
            raise InputError(
                f"the calibration is of the {field.replace('_', ' ')} {measured or 'unknown'}, "
                f"and that of {members['recognition'].id} is {own}.",
                "Measure it anew: give photos of people by --test-data, and no calibration.",
            )

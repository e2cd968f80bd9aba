"""Bundle: packages of members to one system, measured from the photo on before it is packaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from facemodels.errors import InputError
from facemodels.evaluate import system as protocol
from facemodels.evaluate.evaluation import Evaluation
from facemodels.evaluate.gates import judge, require
from facemodels.evaluate.protocols import evaluate
from facemodels.names import ModelId
from facemodels.package.build_system import SystemContent, build_system
from facemodels.package.licences import strictest
from facemodels.package.load import Package
from facemodels.params import Card, Gate
from facemodels.system.calibration import Calibration
from facemodels.system.quality import QualityLimits
from facemodels.system.task import served_members
from facemodels.text import markdown

_MIN_SCORE = 0.5  # of a detector whose package has no threshold


@dataclass(frozen=True)
class Bundled:
    """A system that was measured.

    Attributes:
        content: what its package holds.
        evaluation: on the test photos, from the photo on.
        target: the folder of the package; None where it was not written.
    """

    content: SystemContent
    evaluation: Evaluation
    target: Path | None

    def as_json(self) -> dict[str, Any]:
        """The values for people's programs."""
        return {
            "id": str(self.content.id),
            "path": str(self.target) if self.target else None,
            "members": {task: str(p.id) for task, p in self.content.members.items()},
            "license": self.content.words.license,
            "fmr": self.content.fmr,
            "calibration": self.content.calibration.as_json(),
            **self.evaluation.as_json(),
        }

    def table(self) -> str:
        """Members and figures as Markdown."""
        members = [
            {"task": task, "version": str(package.id), "licence": package.metadata["license"]}
            for task, package in self.content.members.items()
        ]
        figures = [{"metric": n, "value": v} for n, v in self.evaluation.metrics.items()]
        notes = "".join(f"{note}\n" for note in self.evaluation.notes)
        return f"{markdown(members)}\n{markdown(figures)}{notes}"


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


def bundle(
    model: ModelId,
    members: Mapping[str, Package],
    data: Path,
    *,
    words: Card,
    fmr: float,
    quality: QualityLimits,
    gates: Mapping[str, Gate | None],
    target: Path,
    threads: int,
    calibration: Calibration | None = None,
    dry_run: bool = False,
) -> Bundled:
    """Measure a system of members on photos, and package it.

    Args:
        model: the version it becomes.
        members: the verified packages, by task, see `members_of`.
        data: prepared photos: `val` calibrates, `test` judges.
        words: what people wrote about it; its licence is set to the strictest of the members'.
        fmr: the false match rate that its threshold gives.
        quality: the least of a face that is compared.
        gates: bounds of the metrics.
        target: the folder of the package.
        threads: of each member's runtime.
        calibration: one that was measured on other photos; that of `val` if None.
        dry_run: write nothing.

    Raises:
        InputError: the members do not fit together, or the photos cannot show the rate.
        GateError: a metric is below its gate.
    """
    detector = members["detection"]
    least = detector.config.get("threshold")
    min_score = float(_MIN_SCORE if least is None else least)
    predictors = {task: package.predictor(threads=threads) for task, package in members.items()}
    system = served_members(predictors, {"min_score": min_score})
    if calibration is None:
        measured = protocol.calibration(system, data, source=f"val of {words.training_dataset}")
        calibration = replace(measured, embedding_space=_space(members))
    _require_space(calibration, members)
    evaluation = evaluate("system", replace(system, threshold=calibration.threshold(fmr)), data)
    require(judge(evaluation.metrics, gates), str(model))
    licence = strictest(str(package.metadata["license"]) for package in members.values())
    content = SystemContent(
        id=model,
        members=members,
        min_score=min_score,
        fmr=fmr,
        calibration=calibration,
        quality=quality,
        validation={"metrics": dict(evaluation.metrics), "stamp": dict(evaluation.stamp)},
        words=words.model_copy(update={"license": licence}),
    )
    return Bundled(content, evaluation, None if dry_run else build_system(content, target))


def _space(members: Mapping[str, Package]) -> str:
    return str(members["recognition"].metadata["embedding_space"])


def _require_space(calibration: Calibration, members: Mapping[str, Package]) -> None:
    """Refuse thresholds that are of the similarities of another recogniser."""
    if calibration.embedding_space != _space(members):
        known = calibration.embedding_space or "unknown"
        raise InputError(
            f"the calibration is of the embedding space {known}, and that of "
            f"{members['recognition'].id} is {_space(members)}.",
            "Measure it anew: give photos of people by --test-data, and no calibration.",
        )

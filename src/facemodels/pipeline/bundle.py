"""Bundle: packages of members to one system, measured from the photo on before it is packaged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facemodels.evaluate.evaluation import Evaluation
from facemodels.evaluate.gates import judge, require
from facemodels.names import ModelId
from facemodels.package.build_system import SystemContent, build_system
from facemodels.package.licences import strictest
from facemodels.package.load import Package
from facemodels.params import Card, Gate
from facemodels.pipeline.system import MeasuredSystem, measure_system, min_score
from facemodels.system.calibration import Calibration
from facemodels.system.quality import QualityLimits
from facemodels.text import markdown


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
        InputError: see `measure_system`.
        GateError: a metric is below its gate.
    """
    measured = measure_system(
        members, data, fmr=fmr, threads=threads, source=words.training_dataset,
        calibration=calibration,
    )  # fmt: skip
    require(judge(measured.evaluation.metrics, gates), str(model))
    licence = strictest(str(package.metadata["license"]) for package in members.values())
    content = content_of(
        model,
        members,
        calibration=measured.calibration,
        validation=_figures(measured),
        fmr=fmr,
        quality=quality,
        words=words.model_copy(update={"license": licence}),
    )
    written = None if dry_run else build_system(content, target)
    return Bundled(content, measured.evaluation, written)


def _figures(measured: MeasuredSystem) -> dict[str, Any]:
    """The part of the figures that a package has."""
    return {
        "metrics": dict(measured.evaluation.metrics),
        "stamp": dict(measured.evaluation.stamp),
    }


def content_of(
    model: ModelId,
    members: Mapping[str, Package],
    *,
    calibration: Calibration,
    validation: Mapping[str, Any],
    fmr: float,
    quality: QualityLimits,
    words: Card,
) -> SystemContent:
    """What goes into the package of a system that was measured.

    Args:
        model: the version it becomes.
        members: the verified packages, by task.
        calibration: the threshold of each false match rate.
        validation: `metrics` with their `stamp`.
        fmr: the false match rate that its threshold gives.
        quality: the least of a face that is compared.
        words: what people wrote about it.
    """
    return SystemContent(
        id=model,
        members=members,
        min_score=min_score(members),
        fmr=fmr,
        calibration=calibration,
        quality=quality,
        validation=validation,
        words=words,
    )

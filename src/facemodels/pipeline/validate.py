"""Validate: trained weights beside their untrained baseline, by group, against gates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facemodels.evaluate import bootstrap
from facemodels.evaluate.bootstrap import Interval
from facemodels.evaluate.evaluation import Evaluation
from facemodels.evaluate.protocols import evaluate
from facemodels.files import write_text
from facemodels.pipeline.trained import Trained
from facemodels.text import markdown

RESAMPLES = 1000  # the usual least for a 95 % interval
_SEED = 1


@dataclass(frozen=True)
class Validation:
    """What validate found.

    Attributes:
        evaluation: of the trained weights.
        baseline: of the same architecture before it learned anything.
        intervals: 95 % confidence intervals of metrics of `evaluation`, by name.
    """

    evaluation: Evaluation
    baseline: Evaluation
    intervals: Mapping[str, Interval]

    def as_json(self) -> dict[str, Any]:
        """Return what the metrics file of a model holds; an interval is [low, high]."""
        return {
            **self.evaluation.as_json(),
            "intervals": {name: [found.low, found.high] for name, found in self.intervals.items()},
            "untrained": dict(self.baseline.metrics),
        }

    def table(self) -> str:
        """Format the metrics beside the baseline's, and by group, as Markdown."""
        text = markdown([self._row(name) for name in self.evaluation.metrics])
        if self.evaluation.groups:
            text += "\n" + markdown(
                [{"group": name, **values} for name, values in self.evaluation.groups.items()]
            )
        if self.evaluation.notes:
            text += "\n" + "".join(f"{note}\n" for note in self.evaluation.notes)
        return text

    def _row(self, name: str) -> dict[str, object]:
        found = self.intervals.get(name)
        return {
            "metric": name,
            "value": self.evaluation.metrics[name],
            "95% interval": f"{found.low:.4g} to {found.high:.4g}" if found else "",
            "untrained": self.baseline.metrics.get(name, ""),
        }


def validate(trained: Trained, data: Path, *, seed: int, threads: int) -> Validation:
    """Evaluate the weights, and the same architecture before it learned anything."""
    architecture = trained.architecture
    model = architecture.load(trained.weights, threads=threads)
    evaluation = evaluate(architecture.task, model, data)
    baseline = evaluate(architecture.task, architecture.untrained(data, seed=seed), data)
    return Validation(evaluation, baseline, _intervals(evaluation))


def intervals_of(evaluation: Evaluation) -> dict[str, list[float]]:
    """95 % confidence intervals, [low, high], of the metrics that have one, by name."""
    return {name: [found.low, found.high] for name, found in _intervals(evaluation).items()}


def _intervals(evaluation: Evaluation) -> dict[str, Interval]:
    return {
        name: bootstrap.interval_of(metric, resamples=RESAMPLES, seed=_SEED)
        for name, metric in evaluation.resampled.items()
    }


def write_curves(evaluation: Evaluation, folder: Path) -> None:
    """Write one CSV a curve, for `dvc plots`."""
    for name, rows in evaluation.curves.items():
        lines = [
            ",".join(rows[0] if rows else ()),
            *(",".join(map(_decimal, row.values())) for row in rows),
        ]
        write_text(folder / f"{name}.csv", "\n".join(lines) + "\n")


def _decimal(value: float) -> str:
    return f"{value:.6f}" if isinstance(value, float) else str(value)

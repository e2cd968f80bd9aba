"""Validate: trained weights beside their untrained baseline, by group, against gates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facemodels.evaluate.evaluation import Evaluation
from facemodels.evaluate.protocols import evaluate
from facemodels.files import write_text
from facemodels.pipeline.trained import Trained
from facemodels.text import markdown


def validate(
    trained: Trained, data: Path, *, seed: int, threads: int
) -> tuple[Evaluation, Evaluation]:
    """Evaluate the weights, and the same architecture before it learned anything."""
    architecture = trained.architecture
    model = architecture.load(trained.weights, threads=threads)
    baseline = architecture.untrained(data, seed=seed)
    return evaluate(architecture.task, model, data), evaluate(architecture.task, baseline, data)


def as_json(evaluation: Evaluation, baseline: Evaluation) -> dict[str, Any]:
    """Return what the metrics file of a model holds."""
    return {**evaluation.as_json(), "untrained": dict(baseline.metrics)}


def write_curves(evaluation: Evaluation, folder: Path) -> None:
    """Write one CSV a curve, for `dvc plots`."""
    import pandas as pd

    for name, rows in evaluation.curves.items():
        table = pd.DataFrame(rows).to_csv(index=False, lineterminator="\n", float_format="%.6f")
        write_text(folder / f"{name}.csv", table)


def table(evaluation: Evaluation, baseline: Evaluation) -> str:
    """Format the metrics beside the baseline's, and by group, as Markdown."""
    text = markdown(
        [
            {"metric": name, "value": value, "untrained": baseline.metrics[name]}
            for name, value in evaluation.metrics.items()
        ]
    )
    if evaluation.groups:
        text += "\n" + markdown(
            [{"group": name, **values} for name, values in evaluation.groups.items()]
        )
    return text

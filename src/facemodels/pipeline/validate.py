"""Validate: trained weights beside their untrained baseline, by group, against gates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facemodels.errors import InputError
from facemodels.evaluate.evaluation import Evaluation
from facemodels.evaluate.protocols import evaluate
from facemodels.files import write_json, write_text
from facemodels.models import architecture
from facemodels.params import load_yaml
from facemodels.tables import markdown


@dataclass(frozen=True)
class Trained:
    """A folder that train wrote, or a package: weights with their config beside."""

    task: str
    architecture: str
    network: Mapping[str, Any]
    weights: Path


def find_trained(path: Path) -> Trained:
    """The weights at `path` (the file or its folder) and the config beside them.

    Raises:
        InputError: no weights or no config are there.
    """
    folder = path if path.is_dir() else path.parent
    if not path.exists():
        raise InputError(f"{path} does not exist.", "Point to model.pt or its folder.")
    if not (folder / "config.yaml").is_file():
        raise InputError(
            f"{path} has no config.yaml beside it, so its architecture is unknown.",
            "Keep the weights in the folder that train wrote.",
        )
    config = load_yaml(folder / "config.yaml")
    try:
        task, name, network = config["task"], config["architecture"], config["network"]
    except KeyError as error:
        raise InputError(f"{folder / 'config.yaml'} has no {error}.") from error
    weights = path if path.is_file() else folder / architecture(task, name).WEIGHTS
    if not weights.is_file():
        raise InputError(f"{weights} does not exist.", "Point to model.pt or its folder.")
    return Trained(task, name, network, weights)


def validate(
    trained: Trained, data: Path, *, seed: int, threads: int
) -> tuple[Evaluation, Evaluation]:
    """Evaluate the weights, and the same architecture before it learned anything."""
    implementation = architecture(trained.task, trained.architecture)
    runtime = implementation.RUNTIMES[-1]  # weights: torch or the architecture's own library
    model = implementation.load(trained.weights, trained.network, runtime, threads=threads)
    baseline = implementation.untrained(trained.network, data, seed=seed)
    return evaluate(trained.task, model, data), evaluate(trained.task, baseline, data)


def as_json(evaluation: Evaluation, baseline: Evaluation) -> dict[str, Any]:
    """What the metrics file of a model holds."""
    return {**evaluation.as_json(), "untrained": dict(baseline.metrics)}


def write_curves(evaluation: Evaluation, folder: Path) -> None:
    """One CSV a curve, for `dvc plots`."""
    import pandas as pd

    for name, rows in evaluation.curves.items():
        table = pd.DataFrame(rows).to_csv(index=False, lineterminator="\n", float_format="%.6f")
        write_text(folder / f"{name}.csv", table)


def write_metrics(evaluation: Evaluation, baseline: Evaluation, path: Path) -> None:
    """The metrics file of a model."""
    write_json(path, as_json(evaluation, baseline))


def table(evaluation: Evaluation, baseline: Evaluation) -> str:
    """Metrics beside the baseline's, and by group, as Markdown."""
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

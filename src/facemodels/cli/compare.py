"""`facemodels compare`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from facemodels.cli.options import (
    FILE_OR_FOLDER,
    FOLDER,
    detector_option,
    json_option,
    output,
    prepared_or,
)
from facemodels.errors import InputError


@click.command()
@click.option(
    "--model-a", type=FILE_OR_FOLDER, required=True, help="A package, for example in production."
)
@click.option("--model-b", type=FILE_OR_FOLDER, required=True, help="The package held against it.")
@click.option("--metrics", default="accuracy,speed,memory", show_default=True, help="Also: size.")
@click.option("--test-data", type=FOLDER, help="Prepared data or a dataset's folder.")
@click.option("--resamples", type=click.IntRange(min=1), default=1000, show_default=True)
@click.option("--runs", type=click.IntRange(min=2), default=40, show_default=True)
@detector_option
@json_option
def compare(
    model_a: Path,
    model_b: Path,
    metrics: str,
    test_data: Path | None,
    resamples: int,
    runs: int,
    detector: Path | None,
    as_json: bool,
) -> None:
    """Set package B beside package A and say whether it is better, worse, or neither.

    \b
    Example:
      facemodels compare --model-a models/recognition/facenet-v2.1.3/model.pt \\
          --model-b models/recognition/facenet-v2.2.0/model.pt \\
          --metrics accuracy,speed,memory
    """
    from facemodels.evaluate import comparison
    from facemodels.package.load import open_package
    from facemodels.params import Compare
    from facemodels.pipeline.compare import compare_packages, rows_table
    from facemodels.pipeline.layout import crop_of, dataset

    asked = [metric for metric in comparison.METRICS if metric in metrics.split(",")]
    unknown = set(metrics.split(",")) - set(comparison.METRICS)
    if unknown or not asked:
        raise InputError(
            f"there is no metric {', '.join(sorted(unknown))!r}.",
            f"Use some of {','.join(comparison.METRICS)}.",
        )
    a, b = open_package(model_a), open_package(model_b)
    if a.task != b.task:
        raise InputError(f"{a.id} is of {a.task}, {b.id} of {b.task}.", "Compare within one task.")
    settings = Compare(
        baselines={},
        resamples=resamples,
        confidence=0.95,
        seed=1,
        threads=2,
        warmup=5,
        runs=runs,
    )
    if "accuracy" in asked:
        crops = [crop_of(package.config["preprocessing"]) for package in (a, b)]
        source = prepared_or(test_data, a.task)
        with dataset(source, a.task, testing=True, crops=crops, detector=detector) as data:
            rows = compare_packages(a, b, data, settings, asked)
    else:
        rows = compare_packages(a, b, None, settings, asked)
    verdict = comparison.overall(rows)
    text = f"{rows_table(rows, '95%')}\n{b.id} against {a.id}: {verdict}\n"
    result = {
        "a": str(a.id),
        "b": str(b.id),
        "rows": [asdict(row) for row in rows],
        "verdict": verdict,
    }
    output(result, text, as_json=as_json)

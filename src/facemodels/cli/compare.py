"""`facemodels compare`."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

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

_COMPATIBILITY = "compatibility"  # of B's faces with A's gallery; no metric of one model


@click.command()
@click.option(
    "--model-a", type=FILE_OR_FOLDER, required=True, help="A package, for example in production."
)
@click.option("--model-b", type=FILE_OR_FOLDER, required=True, help="The package held against it.")
@click.option(
    "--metrics",
    default="accuracy,speed,memory",
    show_default=True,
    help="Also: size, compatibility.",
)
@click.option("--test-data", type=FOLDER, help="Prepared data or a dataset's folder.")
@click.option("--resamples", type=click.IntRange(min=1), default=1000, show_default=True)
@click.option("--runs", type=click.IntRange(min=2), default=40, show_default=True)
@click.option(
    "--across-crops",
    is_flag=True,
    help="Compare models of different crops, each in its own: models, not weights.",
)
@detector_option
@json_option
def compare(
    model_a: Path,
    model_b: Path,
    metrics: str,
    test_data: Path | None,
    resamples: int,
    runs: int,
    across_crops: bool,
    detector: Path | None,
    as_json: bool,
) -> None:
    """Set package B beside package A and say whether it is better, worse, or neither.

    Both are measured anew on the same data. Figures that were measured in different ways are
    refused, with what differs. `compatibility` measures B's faces against a gallery that A
    enrolled; it is always measured with accuracy where B claims A's embedding space, and then a
    claim that does not hold is exit code 4.

    \b
    Example:
      facemodels compare --model-a models/recognition/facenet-v2.1.3/model.pt \\
          --model-b models/recognition/facenet-v2.2.0/model.pt \\
          --metrics accuracy,speed,memory
      facemodels compare --model-a models/recognition/arcface-v1.0.0 \\
          --model-b models/recognition/arcface-v1.1.0 --metrics compatibility
    """
    from facemodels.evaluate import comparison
    from facemodels.evaluate.compatibility import (
        claims_space_of,
        measure_compatibility,
        require_compatible,
    )
    from facemodels.evaluate.measurements import Measurements
    from facemodels.package.policies import open_signed
    from facemodels.params import Compare
    from facemodels.pipeline.compare import compare_packages, rows_table
    from facemodels.pipeline.layout import crop_of, dataset

    wanted = set(metrics.split(","))
    asked = [metric for metric in comparison.METRICS if metric in wanted]
    unknown = wanted - {*comparison.METRICS, _COMPATIBILITY}
    if unknown:
        raise InputError(
            f"there is no metric {', '.join(sorted(unknown))!r}.",
            f"Use some of {','.join((*comparison.METRICS, _COMPATIBILITY))}.",
        )
    a, b = open_signed(model_a), open_signed(model_b)
    if a.task != b.task:
        raise InputError(f"{a.id} is of {a.task}, {b.id} of {b.task}.", "Compare within one task.")
    crops = {
        str(package.id): crop_of(package.config.get("preprocessing", {})) for package in (a, b)
    }
    settings = Compare(
        baselines={},
        resamples=resamples,
        confidence=0.95,
        seed=1,
        threads=2,
        warmup=5,
        runs=runs,
        across_crops=across_crops,
    )
    claimed = "accuracy" in asked and claims_space_of(a, b)
    found = None
    with ExitStack() as stack:
        data = None
        if wanted & {"accuracy", _COMPATIBILITY}:
            source = prepared_or(test_data, a.task)
            prepared = dataset(
                source, a.task, testing=True, crops=crops.values(), detector=detector
            )
            data = stack.enter_context(prepared)
        measured = Measurements(data, settings)
        rows = compare_packages(a, b, measured, asked)
        if claimed or _COMPATIBILITY in wanted:
            found = measure_compatibility(a, b, measured)
    texts = []
    result: dict[str, Any] = {
        "a": str(a.id),
        "b": str(b.id),
        "rows": [asdict(row) for row in rows],
        "crops": {name: crop for name, crop in crops.items() if crop},
    }
    if rows:
        result["verdict"] = comparison.overall(rows)
        words = f"{b.id} against {a.id}: {result['verdict']}"
        if "accuracy" in asked and len(set(crops.values())) > 1:
            words += f" ({', '.join(f'{name} in {crop}' for name, crop in crops.items())})"
        texts += [rows_table(rows, "95%"), f"{words}\n"]
    if found is not None:
        result["compatibility"] = found.as_json()
        texts += [found.table("95%"), f"{found.verdict()}\n"]
    output(result, "\n".join(texts), as_json=as_json)
    if found is not None and claims_space_of(a, b):
        require_compatible(found)

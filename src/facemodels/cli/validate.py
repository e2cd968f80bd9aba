"""`facemodels validate`."""

from __future__ import annotations

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
    reading_options,
)
from facemodels.errors import DataError

VALIDATION = "validation.json"  # beside the weights; package reads it


@click.command()
@click.option(
    "--model", type=FILE_OR_FOLDER, required=True, help="Weights with config.yaml beside them."
)
@click.option("--test-data", type=FOLDER, help="Prepared data or a dataset's folder.")
@click.option("--seed", default=1, show_default=True, help="Of the untrained baseline.")
@click.option("--threads", default=2, show_default=True)
@click.option(
    "--max-seen",
    type=click.FloatRange(0, 1),
    default=1.0,
    show_default=True,
    help="Largest share of the pictures that the training may have seen.",
)
@detector_option
@reading_options
@json_option
def validate(
    model: Path,
    test_data: Path | None,
    seed: int,
    threads: int,
    max_seen: float,
    detector: Path | None,
    reading: dict[str, Any],
    as_json: bool,
) -> None:
    """Measure trained weights, and the same architecture untrained.

    The figures are kept beside the weights for `facemodels package`, unless the weights
    lie in a finished package, which is never touched.

    \b
    Example:
      facemodels validate --model models/recognition/facenet-v2.2.0/model.pt \\
          --test-data data/validation
    """
    from facemodels.files import write_json
    from facemodels.package.verify import is_package
    from facemodels.pipeline import validate as step
    from facemodels.pipeline.layout import crop_of, dataset
    from facemodels.pipeline.trained import find_trained
    from facemodels.pipeline.trained_pictures import seen_in_training

    trained = find_trained(model)
    task = trained.architecture.task
    source = prepared_or(test_data, task)
    crop = crop_of(trained.architecture.preprocessing())
    given = dataset(source, task, testing=True, crops=[crop], detector=detector, reading=reading)
    with given as data:
        _tell_seen(seen_in_training(trained.weights.parent, data), source, max_seen)
        result = step.validate(trained, data, seed=seed, threads=threads)
    folder = trained.weights.parent
    if not is_package(folder):
        write_json(folder / VALIDATION, result.as_json())
    output(result.as_json(), result.table(), as_json=as_json)


def _tell_seen(share: float, source: Path, allowed: float) -> None:
    """Tell of test pictures that the training saw, and refuse more of them than allowed.

    Raises:
        DataError: `share` is above `allowed`.
    """
    if share == 0:
        return
    what = f"The training saw {share:.0%} of the pictures of {source}: that is no test."
    if share > allowed:
        raise DataError(what, "Give other pictures, of other people.")
    click.echo(f"Warning: {what} Give other pictures, of other people.", err=True)

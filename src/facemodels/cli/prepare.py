"""The command `facemodels prepare`."""

from __future__ import annotations

from pathlib import Path

import click

from facemodels.cli.options import FILE, FOLDER
from facemodels.names import TASKS


@click.command()
@click.argument("task", type=click.Choice(TASKS))
@click.option("--params", "params_file", type=FILE, default=Path("params.yaml"))
@click.option("--output", type=FOLDER, required=True, help="Folder that gets the splits.")
@click.option("--report", type=FILE, help="JSON with counts and every broken file.")
@click.option("--picture", type=FILE, help="PNG contact sheet.")
def prepare(
    task: str, params_file: Path, output: Path, report: Path | None, picture: Path | None
) -> None:
    """Turn the dataset that params.yaml names for TASK into arrays.

    \b
    Example:
      facemodels prepare landmarks --output out/landmarks --picture sheet.png
    """
    from facemodels import params
    from facemodels.data.datasets import dataset_of
    from facemodels.pipeline import prepare as step

    settings = params.load(params_file)
    step.prepare(dataset_of(settings.data, task), output, report, picture, settings.prepare)

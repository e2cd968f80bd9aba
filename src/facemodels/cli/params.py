"""The command `facemodels params`."""

from __future__ import annotations

from pathlib import Path

import click

from facemodels.cli.options import FILE, FOLDER


@click.command()
@click.option("--conf", type=FOLDER, default=Path("conf"), show_default=True)
@click.option("--output", type=FILE, default=Path("params.yaml"), show_default=True)
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if the two differ.")
@click.argument("overrides", nargs=-1)
def params(conf: Path, output: Path, check: bool, overrides: tuple[str, ...]) -> None:
    """Compose conf/ with Hydra into params.yaml, as `dvc exp run` does.

    \b
    Example:
      facemodels params models.recognition-facenet.train.steps=100
    """
    from facemodels.pipeline.compose import compose

    changed = compose(conf, output, list(overrides), dry_run=check)
    click.echo(
        f"{output} {'differs from' if check and changed else 'is in step with'} {conf}", err=True
    )
    if check and changed:
        raise SystemExit(1)

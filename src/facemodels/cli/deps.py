"""`facemodels deps` and `facemodels check-lock`."""

from __future__ import annotations

from pathlib import Path

import click

from facemodels.cli.options import json_option
from facemodels.cli.table import print_table

UNPROVEN = 3  # the exit code of files that are not what was signed off


@click.command()
@click.option("--fix", "write", is_flag=True, help="Write dvc.yaml anew; comments stay.")
@json_option
def deps(write: bool, as_json: bool) -> None:
    """Compare the deps in dvc.yaml with what the stages import, and read when they last ran.

    Exits with 1 if they differ.

    \b
    Example:
      facemodels deps --fix
    """
    from facemodels.files import canonical_json
    from facemodels.sealing.lists import differences, fix

    found = fix(Path.cwd()) if write else differences(Path.cwd())
    if as_json:
        click.echo(canonical_json([one._asdict() for one in found]), nl=False)
    elif found:
        print_table(("stage", "differs", "dep"), found)
    if found:
        if write:
            click.echo("A stage reaches these by name: see BY_NAME in sealing/needs.py.", err=True)
        raise SystemExit(1)


@click.command("check-lock")
@json_option
def check_lock(as_json: bool) -> None:
    """Compare dvc.lock with the records of the sealed runs: which of its stages no run made.

    `dvc commit --force` writes such stages. Exits with 3 if there are some.

    \b
    Example:
      facemodels check-lock
    """
    from facemodels.files import canonical_json
    from facemodels.sealing.lock import unproven_stages

    found = unproven_stages(Path.cwd())
    if as_json:
        click.echo(canonical_json([one._asdict() for one in found]), nl=False)
    elif found:
        print_table(("stage", "no run made it"), found)
        click.echo("Run them: dvc repro --force STAGE", err=True)
    if found:
        raise SystemExit(UNPROVEN)

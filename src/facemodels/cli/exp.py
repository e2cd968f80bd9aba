"""`facemodels exp`."""

from __future__ import annotations

import secrets
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facemodels.cli.options import json_option, output
from facemodels.cli.table import print_table
from facemodels.errors import InputError

if TYPE_CHECKING:
    from facemodels.experiments.jobs import JobRecord


@click.group()
def exp() -> None:
    """Experiments of DVC as jobs: on Slurm, or in the background of this machine.

    \b
    Example:
      facemodels exp submit --on slurm -S models.recognition-arcface.train.steps=1000
      facemodels exp list
    """


@exp.command()
@click.option("-S", "--set-param", "changes", multiple=True, help="As of `dvc exp run`.")
@click.option(
    "--on",
    "cluster",
    type=click.Choice(("local", "slurm")),
    default="local",
    show_default=True,
    help="Where it runs.",
)
@click.option("--name", help="Of the experiment.  [default: a random one]")
@click.option(
    "-r",
    "--resource",
    "resources",
    multiple=True,
    metavar="KEY=VALUE",
    help="A parameter of submitit's executor: timeout_min=600, slurm_partition=gpu.",
)
@click.option("--ignore-errors", is_flag=True, help="Keep what misses a gate: name gate@MODEL.")
@click.argument("targets", nargs=-1, metavar="[STAGE]...")
@json_option
def submit(
    changes: tuple[str, ...],
    cluster: str,
    name: str | None,
    resources: tuple[str, ...],
    ignore_errors: bool,
    targets: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run an experiment on the last commit as a job.

    It ends up in `dvc exp show` here, by its name; `dvc exp apply NAME` takes it over.

    \b
    Example:
      facemodels exp submit --on slurm -r timeout_min=600 -r slurm_partition=gpu \\
          -S models.recognition-arcface.train.steps=1000 train@recognition-arcface
    """
    from facemodels.experiments import jobs
    from facemodels.git import find_root

    made = jobs.submit(
        find_root(Path.cwd()),
        name or f"job-{secrets.token_hex(4)}",
        cluster="slurm" if cluster == "slurm" else "local",
        changes=changes,
        targets=targets,
        resources={"timeout_min": 60 * 24, **dict(map(_resource, resources))},
        ignore_errors=ignore_errors,
    )
    shown = made.experiment.name
    text = f"Submitted {shown} as job {made.job}; facemodels exp logs {shown}\n"
    output(_row(made), text, as_json=as_json)


@exp.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the jobs that were submitted in this clone, with their states.

    \b
    Example:
      facemodels exp list
    """
    from facemodels.experiments import jobs
    from facemodels.git import find_root

    rows = [_row(one) for one in jobs.records(find_root(Path.cwd()))]
    if as_json:
        output(rows, "", as_json=True)
        return
    columns = ("name", "state", "cluster", "job", "commit", "changes", "targets")
    print_table(
        columns,
        (
            [" ".join(v) if isinstance(v := row[key], tuple) else v for key in columns]
            for row in rows
        ),
    )


@exp.command()
@click.argument("name")
def logs(name: str) -> None:
    """Print what the job of an experiment has written so far.

    \b
    Example:
      facemodels exp logs job-1f2e3d4c
    """
    from facemodels.experiments import jobs

    click.echo(jobs.log_of(_job(name)), nl=False)


@exp.command()
@click.argument("name")
@click.option("--dry-run", is_flag=True, help="Say what would be ended; change nothing.")
@json_option
def cancel(name: str, dry_run: bool, as_json: bool) -> None:
    """End the job of an experiment; nothing of it is kept.

    \b
    Example:
      facemodels exp cancel job-1f2e3d4c
    """
    from facemodels.experiments import jobs

    job = _job(name)
    if not dry_run:
        jobs.cancel(job)
    row = _row(job)
    word = "would be cancelled" if dry_run else "was cancelled"
    output(row, f"{name} {word}: job {job.job}, {row['state']}\n", as_json=as_json)


def _job(name: str) -> JobRecord:
    from facemodels.experiments import jobs
    from facemodels.git import find_root

    return jobs.record(find_root(Path.cwd()), name)


def _row(one: JobRecord) -> dict[str, Any]:
    from facemodels.experiments import jobs

    job = {"state": jobs.state_of(one), "cluster": one.cluster, "job": one.job, "host": one.host}
    return {**asdict(one.experiment), **job}


def _resource(text: str) -> tuple[str, int | str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"{text!r} is no KEY=VALUE.", "For example timeout_min=600.")
    return key, int(value) if value.isdigit() else value

"""Options, and ways to print a result, that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from facemodels.errors import InputError
from facemodels.files import canonical_json

Function = TypeVar("Function", bound=Callable[..., Any])
PREPARED = Path("data", "prepared")
FOLDER = click.Path(path_type=Path)


def json_option(function: Function) -> Function:
    """Add the option `--json`, which prints the result as JSON."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(
        function
    )


def output(value: Any, text: str, *, as_json: bool) -> None:
    """Print a result: `value` as JSON for programs, or `text` for people."""
    click.echo(canonical_json(value) if as_json else text, nl=False)


def prepared_or(path: Path | None, task: str) -> Path:
    """The dataset at `path`, or else the one that `dvc repro prepare` made for the task.

    Raises:
        InputError: it does not exist.
    """
    chosen = path or PREPARED / task
    if not chosen.is_dir():
        raise InputError(
            f"{chosen} is not a folder of data.",
            "Give a dataset, or run `dvc repro prepare` for the sample.",
        )
    return chosen

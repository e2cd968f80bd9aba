"""Options and output that commands share."""

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
    """`--json`: results as JSON on standard output."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(
        function
    )


def output(value: Any, text: str, *, as_json: bool) -> None:
    """Print a result for programs or for people."""
    click.echo(canonical_json(value) if as_json else text, nl=False)


def prepared_or(path: Path | None, task: str) -> Path:
    """The dataset given, or what `dvc repro prepare` made for the task.

    Raises:
        InputError: neither exists.
    """
    chosen = path or PREPARED / task
    if not chosen.is_dir():
        raise InputError(
            f"{chosen} is not a folder of data.",
            "Give a dataset, or run `dvc repro prepare` for the sample.",
        )
    return chosen

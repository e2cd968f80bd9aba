"""Options, and ways to print a result, that several commands share."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import click

from facemodels.errors import InputError
from facemodels.files import canonical_json, refuse_file, refuse_folder

Function = TypeVar("Function", bound=Callable[..., Any])
PREPARED = Path("data", "prepared")


class _PathOf(click.Path):
    """A path of one kind only, which need not exist yet.

    Args:
        kind: `file` or `folder`; a path of the other kind is refused with an `InputError`.
    """

    def __init__(self, kind: Literal["file", "folder"]) -> None:
        # click's own completion follows these two; its own message would name no remedy.
        super().__init__(path_type=Path, file_okay=kind == "file", dir_okay=kind == "folder")
        self._kind = kind

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:
        option = f" to {param.opts[0]}" if isinstance(param, click.Option) else ""
        refuse = refuse_folder if self._kind == "file" else refuse_file
        refuse(Path(value), f"Give a {self._kind}{option}.")
        return super().convert(value, param, ctx)


FILE = _PathOf("file")
FOLDER = _PathOf("folder")


class _Readable(click.Path):
    """A file or folder that a command reads; one that was only not pulled yet is named as such."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:
        require_pulled(Path(value))
        return super().convert(value, param, ctx)


def require_pulled(path: Path) -> None:
    """Stop where DVC tracks a path that is not in the working tree yet.

    Raises:
        InputError: it is such a path.
    """
    if path.exists():
        return
    from facemodels.dvc_files import is_tracked_here

    tracked = next((one for one in (path, path.parent) if is_tracked_here(one)), None)
    if tracked is not None:
        raise InputError(
            f"{path} is not in this working tree yet; DVC tracks it.",
            f"Fetch it: dvc pull {tracked}",
        )


FILE_OR_FOLDER = _Readable()


def json_option(function: Function) -> Function:
    """Add the option `--json`, which prints the result as JSON."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(
        function
    )


def detector_option(function: Function) -> Function:
    """Add the option `--detector`, the package that finds the faces of a recognition dataset."""
    return click.option(
        "--detector",
        type=FILE_OR_FOLDER,
        help="Package that finds and aligns the faces; without it the middle of each image.",
    )(function)


_SHARE = click.FloatRange(0, 1)
_READING = (  # options of `reading_options`; each is the key of conf/data/ of its name
    ("--val-share", _SHARE, "Share of the dataset that validates and chooses the threshold."),
    ("--test-share", _SHARE, "Share of the dataset that tests."),
    ("--seed-of-splits", click.IntRange(min=0), "Changes who goes to which split."),
    ("--folds", click.IntRange(min=1), "Folds of the pairs that are verified."),
    ("--min-images", click.IntRange(min=1), "People with fewer pictures are not trained on."),
    ("--crop-fraction", click.FloatRange(0, 1, min_open=True), "Share of the side that is cut."),
    ("--allowed-broken", _SHARE, "Share of unusable files that is no error."),
    ("--allowed-shared", _SHARE, "Share of pictures in two splits that is no error."),
)


def reading_options(function: Function) -> Function:
    """Add the options that say how a dataset is read; those given are the mapping `reading`."""
    names = {option: option.strip("-").replace("-", "_") for option, _, _ in _READING}

    @functools.wraps(function)
    def wrapped(**given: Any) -> Any:
        values = {name: given.pop(name) for name in names.values()}
        keys = {"seed_of_splits": "seed"}
        reading = {keys.get(k, k): value for k, value in values.items() if value is not None}
        return function(**given, reading=reading)

    for option, kind, words in reversed(_READING):
        wrapped = click.option(option, type=kind, help=words)(wrapped)
    return cast(Function, wrapped)


def output(value: Any, text: str, *, as_json: bool) -> None:
    """Print a result.

    Args:
        value: what programs get, as canonical JSON: sorted keys, no number that is not finite.
        text: what people get; it ends with a line break.
        as_json: which of the two.
    """
    click.echo(canonical_json(value) if as_json else text, nl=False)


def prepared_or(path: Path | None, task: str) -> Path:
    """The dataset at `path`, or else the one that `dvc repro prepare` made for the task.

    Args:
        path: what was given; None takes `data/prepared/<task>` of the current folder.
        task: detection, recognition or landmarks.

    Raises:
        InputError: it is no folder.
    """
    chosen = path or PREPARED / task
    if not chosen.is_dir():
        raise InputError(
            f"{chosen} is not a folder of data.",
            "Give a dataset, or run `dvc repro prepare` for the sample.",
        )
    return chosen

"""Options and arguments that name versions in the registry, with their completion."""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable, Collection
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facemodels.errors import FacemodelsError, InputError, NameFormatError
from facemodels.files import refuse_folder
from facemodels.names import ModelId, ModelName

if TYPE_CHECKING:
    from facemodels.registry.state import State


def complete_ids(ctx: click.Context, parameter: click.Parameter, typed: str) -> list[str]:
    """The registered ids that begin with what was typed; none if the registry cannot be read."""
    try:
        return [name for name in clone_state(check=False).entries if name.startswith(typed)]
    except FacemodelsError:
        return []


def complete_names(ctx: click.Context, parameter: click.Parameter, typed: str) -> list[str]:
    """The models that begin with what was typed; none if the registry cannot be read."""
    try:
        names = sorted({entry.model for entry in clone_state(check=False).entries.values()})
    except FacemodelsError:
        return []
    return [name for name in names if name.startswith(typed)]


def id_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument MODEL_ID, which `--model-id` gives as well; one of them is needed."""

    @functools.wraps(function)
    def wrapped(*, model_id: str | None, given: str | None, **others: Any) -> Any:
        if (model_id is None) == (given is None):
            raise click.UsageError(
                "Missing argument 'MODEL_ID', for example rec-facenet-v2.1.3."
                if model_id is None
                else "MODEL_ID is given twice: as an argument and by --model-id."
            )
        return function(model_id=given if model_id is None else model_id, **others)

    with_option = click.option(
        "--model-id", shell_complete=complete_ids, help="The same as the argument."
    )(wrapped)
    return click.argument("given", required=False, metavar="MODEL_ID", shell_complete=complete_ids)(
        with_option
    )


def model_of(text: str) -> str:
    """The name of the model in an id, or in an alias such as `recognition-facenet@champion`.

    Raises:
        NameFormatError: it is neither.
    """
    name, _, word = text.partition("@")
    if word and word[:1] != "v":
        return str(ModelName.parse(name))
    try:
        return str(ModelId.parse(text).name)
    except NameFormatError:
        if not word:
            raise
        return str(ModelName.parse(name))


def is_model(text: str) -> bool:
    """Whether a text names a model, and no version of it."""
    try:
        ModelName.parse(text)
    except NameFormatError:
        return False
    return True


def local_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option `--local`, which makes an event in this clone alone."""
    return click.option(
        "--local", is_flag=True, help="In this clone alone; `sync --publish` sends it later."
    )(function)


def name_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option `--name`."""
    return click.option(
        "--name", shell_complete=complete_names, help="A model, for example recognition-facenet."
    )(function)


def clone_state(
    name: str | None = None,
    until: int | None = None,
    *,
    systems: bool = False,
    check: bool = True,
) -> State:
    """The registry's state as this clone has it, without network and policy.

    Where the clone shows a sign that it lacks events (a shallow one, for example) the remote is
    asked all the same.

    Args:
        name: read the events of this model only.
        until: read no event after this time, in seconds since 1970.
        systems: read those of all systems too; they pin versions of other models.
        check: whether to look for such signs.

    Raises:
        ToolError: events of the remote are not here.
    """
    from facemodels.git import Git, find_root
    from facemodels.registry.completeness import require_whole
    from facemodels.registry.reading import read_events
    from facemodels.registry.state import fold

    # Tens of thousands of objects stay until the process ends. The garbage collector would
    # visit them again and again (half of the time at 50,000 tags) and find nothing.
    gc.disable()
    git, models = Git(find_root(Path.cwd())), [name] if name else []
    events = read_events(git, models, systems=systems)
    if name and not events and check:
        _warn_of_unknown(name, {event.name.model for event in read_events(git)})
    if check and (told := require_whole(git, events, models=models)):
        click.echo(f"Warning: {told}", err=True)
    return fold(events, until=until)


def _warn_of_unknown(name: str, known: Collection[str]) -> None:
    near = get_close_matches(name, known, 1)
    meant = f" Did you mean {near[0]}?" if near else ""
    click.echo(f"No version of {name} is registered here.{meant}", err=True)


def enrolment_plan(text: str) -> str:
    """The plan for a re-enrolment: `text`, or the content of the file that `@FILE` names.

    Raises:
        InputError: the file cannot be read, or is a folder.
    """
    if not text.startswith("@"):
        return text
    refuse_folder(Path(text[1:]), "Give a file after the @.")
    try:
        return Path(text[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{text[1:]} cannot be read: {error}.") from error

"""`facemodels serve` and `facemodels token`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facemodels.cli.options import FILE, json_option, output, require_pulled
from facemodels.cli.registry_options import complete_ids
from facemodels.cli.table import print_table
from facemodels.errors import InputError
from facemodels.routes import SCOPES

if TYPE_CHECKING:
    from facemodels.package.load import Package

_TOKENS = Path("conf", "tokens.yaml")


@click.command()
@click.argument("model", shell_complete=complete_ids)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    help="Of the model's graph; as many CPUs as this process may use if left out.",
)
@click.option(
    "--config",
    type=FILE,
    help="Limits, batching and access; the repository's conf/serving.yaml if it has one.",
)
@click.option("--tokens", type=FILE, help="Who may do what: a file of `facemodels token`.")
@click.option("--policy", type=FILE, help="Who must have signed, if not conf/signing.yaml.")
@click.option("--no-auth", is_flag=True, help="Listen beyond this machine without tokens.")
@click.option(
    "--gallery",
    "galleries",
    multiple=True,
    metavar="NAME[=FOLDER]",
    help="People that a system identifies; galleries/NAME if no folder is given. Repeatable.",
)
@click.option(
    "--heartbeat", type=FILE, help="A file in which the server shows that it makes progress."
)
@click.option("--about", type=FILE, help="JSON with the registry's fields; read when asked for.")
def serve(
    model: str,
    host: str,
    port: int,
    threads: int | None,
    config: Path | None,
    tokens: Path | None,
    policy: Path | None,
    no_auth: bool,
    galleries: tuple[str, ...],
    heartbeat: Path | None,
    about: Path | None,
) -> None:
    """Serve MODEL, a registered id or the folder of a package, until SIGTERM.

    The package is verified first; one that is not whole is refused with exit code 3. A
    signal to end is obeyed in order: exit code 0 when all requests were answered, 1 when some
    were given up.

    \b
    Example:
      facemodels serve rec-facenet-v2.1.3 --port 8000
      curl --data-binary @face.jpg -H "Content-Type: image/jpeg" localhost:8000/api/embed
      facemodels serve sys-faces-v1.0.0 --gallery staff
    """
    from facemodels.serving import log, settings
    from facemodels.serving.cpus import usable_cpus
    from facemodels.serving.galleries import galleries_given
    from facemodels.serving.http.tokens import Tokens
    from facemodels.serving.listener import ListenAddress
    from facemodels.serving.server import ended_by_signals, serve_package

    if tokens and no_auth:
        raise click.UsageError("--tokens and --no-auth exclude each other.")
    log.configure()
    with ended_by_signals():
        root = _root(model)
        limits = settings.load(config, root)
        folders = galleries_given(galleries, root)
        known = Tokens(tokens) if tokens else None
        with _package(model, policy) as (package, entry):
            end = serve_package(
                package,
                limits,
                ListenAddress(host, port),
                threads=threads or usable_cpus(),
                tokens=known,
                about=_reader(about) if about else lambda: entry or {},
                open_to_all=no_auth,
                galleries=folders,
                heartbeat=heartbeat,
            )
    if end.threads_left:
        os._exit(end.code)  # sys.exit would wait for these threads
    sys.exit(end.code)


def _reader(path: Path) -> Callable[[], dict[str, Any]]:
    """A function that reads a JSON object from a file at every call.

    If the file cannot be read or holds something else, the function gives the last object.
    """
    known: dict[str, Any] = {}

    def read() -> dict[str, Any]:
        with suppress(OSError, ValueError):
            value = json.loads(path.read_bytes())
            if isinstance(value, dict):
                known.clear()
                known.update(value)
        return known

    return read


def _root(model: str) -> Path:
    """The repository of the command, or else of the package: its conf/ and galleries/ count."""
    from facemodels.git import root_or

    here = root_or(Path.cwd())
    package = Path(model).resolve()
    inside = (here / ".git").exists() or (here / "conf").is_dir()
    return here if inside or not package.exists() else root_or(package)


@contextmanager
def _package(model: str, policy: Path | None) -> Iterator[tuple[Package, dict[str, Any] | None]]:
    """Open a package.

    Args:
        model: the folder of a package, or a registered id.
        policy: the file that says who must have signed it; None takes the repositories'.

    Yields:
        The package and, for a registered id, the fields that the registry has for it.
    """
    from facemodels.package.placement import require_placement
    from facemodels.package.policies import open_signed
    from facemodels.registry.packages import obtain

    path = Path(model)
    if path.exists():
        opened_here = open_signed(path, policy)
        require_placement(opened_here)
        yield opened_here, None
        return
    if len(path.parts) > 1:  # no id has a slash
        require_pulled(path)
    from facemodels.registry.registry import open_registry

    opened = open_registry(Path.cwd())
    try:
        entry = opened.repository.state().entry(model)
    except InputError as error:
        raise _unregistered(model, opened.root, error) from error
    with obtain(opened.root, entry, policy) as package:
        require_placement(package)
        yield package, entry.as_json()


def _unregistered(model: str, root: Path, error: InputError) -> InputError:
    """What to do where an id is not registered and its package was built, as by `make repro`."""
    from facemodels.errors import NameFormatError
    from facemodels.names import ModelId

    try:
        folder = Path(ModelId.parse(model).folder)
    except NameFormatError:
        return error
    if not (root / folder).is_dir():
        return error
    return InputError(
        f"{model} is built and not registered.",
        f"Serve its folder, `facemodels serve {folder}`, or register it first: "
        f"`facemodels registry register --path {folder}`.",
    )


def _token_file(path: Path | None) -> Path:
    """The file that was given, or conf/tokens.yaml of the repository."""
    from facemodels.git import root_or

    return path or root_or(Path.cwd()) / _TOKENS


_token_option = click.option(
    "--file", "path", type=FILE, help="The repository's conf/tokens.yaml if left out."
)


@click.group()
def token() -> None:
    """Bearer tokens with scopes; their file holds hashes alone. Servers notice every change.

    \b
    Example:
      facemodels token add --name gateway --scope predict --scope info
      facemodels serve rec-facenet-v2.1.3 --host 0.0.0.0 --tokens conf/tokens.yaml
    """


@token.command()
@click.option("--name", required=True, help="Who holds it.")
@click.option("--scope", "scopes", type=click.Choice(SCOPES), multiple=True, required=True)
@click.option("--days", type=click.FloatRange(0, min_open=True), help="Void after so many days.")
@click.option(
    "--overlap-hours",
    type=click.FloatRange(0),
    default=0,
    show_default=True,
    help="How long the holder's token before holds on.",
)
@_token_option
@json_option
def add(
    name: str,
    scopes: Sequence[Any],
    days: float | None,
    overlap_hours: float,
    path: Path | None,
    as_json: bool,
) -> None:
    """Make a token and print it, once; an older one of the same holder is void.

    \b
    Example:
      facemodels token add --name prometheus --scope metrics
      facemodels token add --name gateway --scope predict --days 90 --overlap-hours 24
    """
    from datetime import timedelta

    from facemodels.serving.http import tokens

    made = tokens.add(
        _token_file(path),
        name,
        scopes,
        lasts=None if days is None else timedelta(days=days),
        overlap=timedelta(hours=overlap_hours),
    )
    output({"name": name, "token": made}, f"{made}\n", as_json=as_json)


@token.command()
@click.option("--name", required=True, help="Who holds it.")
@_token_option
@json_option
def remove(name: str, path: Path | None, as_json: bool) -> None:
    """Void the token of a holder.

    \b
    Example:
      facemodels token remove --name gateway
    """
    from facemodels.serving.http import tokens

    tokens.remove(_token_file(path), name)
    output({"removed": name}, f"{name} holds no token any more.\n", as_json=as_json)


@token.command("list")
@_token_option
@json_option
def list_(path: Path | None, as_json: bool) -> None:
    """Who holds a token, and what it allows.

    \b
    Example:
      facemodels token list
    """
    from facemodels.serving.http import tokens

    held = tokens.holders(_token_file(path))
    rows = [
        {
            "name": name,
            "scopes": list(one.scopes),
            **({"expires": one.expires.isoformat()} if one.expires else {}),
        }
        for name, one in held.items()
    ]
    if as_json:
        output(rows, "", as_json=True)
    else:
        text = [(row["name"], " ".join(row["scopes"]), row.get("expires", "never")) for row in rows]
        print_table(("name", "scopes", "expires"), text)

"""The command `facemodels completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the code that makes SHELL complete facemodels' commands.

    \b
    Example:
      eval "$(facemodels completion bash)"
    """
    kind = get_completion_class(shell)
    if kind is not None:
        root = ctx.find_root()
        click.echo(kind(root.command, {}, "facemodels", "_FACEMODELS_COMPLETE").source())

"""A group of commands that lists its commands without importing their modules."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click


class LazyGroup(click.Group):
    """A group that imports the module of a command when the command is called.

    Args:
        arguments: arguments of click's group.
        commands_of: module of this package and line of help, by command, in the order in
            which the help lists them.
        options: options of click's group.
    """

    def __init__(
        self, *arguments: Any, commands_of: Mapping[str, tuple[str, str]], **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self._commands_of = commands_of

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands, in the order of the help."""
        return list(self._commands_of)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now; None if there is no such command."""
        if cmd_name not in self._commands_of:
            return None
        module = import_module(f"facemodels.cli.{self._commands_of[cmd_name][0]}")
        function = cmd_name.replace("-", "_")
        # `list_` is how Python names a command that would hide a builtin.
        command: click.Command = getattr(module, function, None) or getattr(module, f"{function}_")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments name; a mistyped one gets a suggestion."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = get_close_matches(args[0], self._commands_of, 1)
            if not near or "Did you mean" in error.message:
                raise
            raise click.UsageError(f"{error.message} Did you mean {near[0]}?", ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the names and lines of help of all commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._commands_of.items()])

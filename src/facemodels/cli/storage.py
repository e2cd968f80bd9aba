"""`facemodels storage`: push, pull and audit objects; retention, backup and restore."""

from __future__ import annotations

from importlib import import_module

import click

# command → (module of this package, line of help); a module is imported when it is called.
_COMMANDS = {
    "init": ("storage_setup", "Set up the remote and the backup."),
    "doctor": ("storage_setup", "Look for what is unsafe in the set-up, and say what to do."),
    "push": ("storage_objects", "Bring every released version to a remote, and prove it."),
    "pull": ("storage_objects", "Bring released versions into the cache, checked."),
    "audit": ("storage_objects", "Read cache and remotes again, and repair what is broken."),
    "retention": ("storage_retention", "Archive the versions that need not be kept at hand."),
    "restore": ("storage_retention", "Bring a version back from the archive or the backup."),
    "backup": ("storage_backup", "Mirror versions, tags and the chain of events."),
}


class _LazyGroup(click.Group):
    """A group that knows its commands' names and help without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"facemodels.cli.{_COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=_LazyGroup)
def storage() -> None:
    """Where weights are kept: remotes, their integrity, archive and backup.

    \b
    Example:
      facemodels storage push
      facemodels storage audit --sample 5%
    """

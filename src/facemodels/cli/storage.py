"""`facemodels storage`: push, pull and audit objects; retention, backup and restore."""

from __future__ import annotations

import click

from facemodels.cli.lazy import LazyGroup

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
    "recover": ("storage_backup", "Make a clone from nothing but the URL of a backup."),
}


@click.group(cls=LazyGroup, commands_of=_COMMANDS)
def storage() -> None:
    """Where weights are kept: remotes, their integrity, archive and backup.

    \b
    Example:
      facemodels storage push
      facemodels storage audit --sample 5%
    """

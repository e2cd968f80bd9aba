"""`facemodels registry`: versions, statuses, and the chain of events behind them."""

from __future__ import annotations

import click

from facemodels.cli.lazy import LazyGroup

# command → (module of this package, line of help); a module is imported when it is called.
_COMMANDS = {
    "register": ("registry_acts", "Register the version in a package."),
    "list": ("registry_views", "List versions. Into a pipe go tab-separated lines."),
    "models": ("registry_views", "One line a model: latest, staging, production, on its way."),
    "info": ("registry_views", "Everything the registry says of a version."),
    "update-status": ("registry_acts", "Move a version on, or back to production."),
    "deprecate": ("registry_acts", "Take a version out of use for good."),
    "check-ref": ("registry_views", "What a tag says; for CI that a tag starts."),
    "annotate": ("registry_acts", "Give a version other labels or another description."),
    "alias": ("registry_acts", "Let a word such as champion name a version."),
    "withdraw": ("registry_acts", "Take back a registration that was a mistake."),
    "repair": ("registry_acts", "Mend tags that a checkout or a fetch broke in this clone."),
    "history": ("registry_views", "What happened, latest first."),
    "at": ("registry_views", "What was in production, and what in staging, at a time."),
    "audit": ("registry_acts", "Check the chain of events; exit code 3 on findings."),
    "sync": ("registry_acts", "Fetch the events that others made."),
    "lineage": ("registry_views", "Where a version comes from."),
    "diff": ("registry_views", "What differs between two versions."),
}


@click.group(cls=LazyGroup, commands_of=_COMMANDS)
def registry() -> None:
    """Versions of models and their statuses, kept as Git tags.

    \b
    Example:
      facemodels registry list --status production
      facemodels registry info rec-facenet-v2.1.3
    """

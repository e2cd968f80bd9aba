"""`facemodels storage retention` and `restore`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from facemodels.cli.options import json_option, output
from facemodels.cli.registry_options import complete_ids
from facemodels.cli.table import print_table
from facemodels.text import size_text

if TYPE_CHECKING:
    from facemodels.storage.retention.apply import RetentionOutcome
    from facemodels.storage.retention.context import RetentionContext
    from facemodels.storage.retention.plan import RetentionPlan
    from facemodels.storage.retention.survey import RetentionSurvey

_remote_option = click.option("--remote", help="Of .dvc/config; the default remote if not given.")


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would go, and why; change nothing.")
@_remote_option
@json_option
def retention(dry_run: bool, remote: str | None, as_json: bool) -> None:
    """Archive versions that conf/retention.yaml no longer keeps, then delete their objects.

    Kept are what serves, rollback targets, the last versions of production, young ones and
    those listed by hand; an object that a kept version or any branch needs stays. Killed in
    the middle it has lost nothing; run it again.

    \b
    Example:
      facemodels storage retention --dry-run
    """
    from facemodels.errors import IntegrityError
    from facemodels.storage.retention.apply import RetentionRun

    run = RetentionRun(_context(remote))
    if dry_run:
        _show(run.survey(), as_json=as_json)
        return
    outcome = run.apply()
    output(_as_json(outcome), _text(outcome), as_json=as_json)
    if outcome.failed:
        raise IntegrityError(
            "versions could not go to the archive, and nothing of them was deleted",
            "See `facemodels storage audit --repair`.",
            changed=tuple(f"{one}: {why}" for one, why in sorted(outcome.failed.items())),
        )


def _context(remote: str | None) -> RetentionContext:
    """The clone of the working folder, and a remote; None: the default one."""
    from facemodels.registry.registry import open_registry
    from facemodels.storage.retention.context import RetentionContext
    from facemodels.storage.retention.settings import load
    from facemodels.storage.stores.object_store import CACHE
    from facemodels.storage.stores.stores import open_store

    opened = open_registry(Path.cwd())
    root = opened.root
    stores = open_store(root, CACHE), open_store(root, remote)
    return RetentionContext(opened, load(root), *stores)


def _show(survey: RetentionSurvey, *, as_json: bool) -> None:
    plan = survey.plan
    if as_json:
        more = {"pointers": list(survey.pointers), "unread": list(survey.unread)}
        output({**plan.as_json(), **more, "broken": list(survey.broken)}, "", as_json=True)
        return
    rows = [(one.id, one.action, size_text(one.bytes), one.reason) for one in plan.decisions]
    print_table(("model_id", "action", "size", "reason"), rows)
    click.echo(_summary(plan))
    for text in _warnings(survey):
        click.echo(text, err=True)


def _summary(plan: RetentionPlan) -> str:
    versions, objects = len(plan.to_archive), len(plan.objects)
    return (
        f"{versions} versions would go to the archive; then {objects} objects "
        f"({size_text(plan.bytes)}) would be deleted."
    )


def _warnings(survey: RetentionSurvey) -> list[str]:
    found = []
    if survey.pointers:
        found.append(
            f"Still tracked here: {', '.join(survey.pointers)}. `dvc pull` would look for them in "
            "vain: `dvc remove` them, and commit."
        )
    if survey.unread:
        found.append(
            f"The lists of {len(survey.unread)} folders that revisions name are nowhere, so what "
            "is in them is not known."
        )
    if survey.broken:
        found.append(f"Cannot go, as the list of files is nowhere: {', '.join(survey.broken)}.")
    return found


def _as_json(outcome: RetentionOutcome) -> dict[str, Any]:
    return {
        "archived": outcome.archived,
        "deleted": outcome.deleted,
        "bytes": outcome.bytes,
        "failed": outcome.failed,
        "returned": outcome.returned,
        "plan": outcome.plan.as_json(),
    }


def _text(outcome: RetentionOutcome) -> str:
    went = ", ".join(outcome.archived) or "no version"
    deleted = ", ".join(f"{count} from {store}" for store, count in outcome.deleted.items())
    lines = [
        f"To the archive: {went}.",
        f"Deleted objects: {deleted} ({size_text(outcome.bytes)}).",
    ]
    if outcome.returned:
        lines.append(f"Put back, as somebody needs them by now: {', '.join(outcome.returned)}.")
    return "\n".join(lines) + "\n"


@click.command()
@click.argument("model_id", shell_complete=complete_ids)
@click.option("--from", "origin", type=click.Choice(("archive", "backup")), default="archive",
              show_default=True)  # fmt: skip
@_remote_option
@click.option("--backup", default="backup", show_default=True, help="The remote of the backup.")
@click.option("--reason", "-m", default="", help="Why.")
@json_option
def restore(
    model_id: str,
    origin: Literal["archive", "backup"],
    remote: str | None,
    backup: str,
    reason: str,
    as_json: bool,
) -> None:
    """Bring a version back from the archive, byte for byte, into the remote and the cache.

    It may be deployed again then; retention keeps it as long as a new one.

    \b
    Example:
      facemodels storage restore rec-facenet-v1.0.0
    """
    from facemodels.names import ModelId
    from facemodels.storage.retention.restore import Restorer
    from facemodels.storage.stores.stores import open_store

    context = _context(remote)
    second = open_store(context.registry.root, backup) if origin == "backup" else None
    done = Restorer(context, second).restore(ModelId.parse(model_id), origin, reason=reason)
    copied = ", ".join(f"{count} into {store}" for store, count in done.copied.items())
    told = f" ({done.tag})" if done.tag else ""
    text = f"Restored {done.id} from the {origin}{told}. Objects: {copied}.\n"
    value = {"model_id": done.id, "from": origin, "tag": done.tag, "copied": dict(done.copied)}
    output(value, text, as_json=as_json)

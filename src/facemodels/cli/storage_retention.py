"""`facemodels storage retention` and `restore`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from facemodels.cli.options import json_option, output
from facemodels.cli.registry_options import complete_ids
from facemodels.cli.table import print_table
from facemodels.text import counted, size_text

if TYPE_CHECKING:
    from facemodels.storage.retention.apply import RetentionOutcome
    from facemodels.storage.retention.context import RetentionContext
    from facemodels.storage.retention.plan import RetentionPlan
    from facemodels.storage.retention.survey import RetentionSurvey

_remote_option = click.option("--remote", help="Of .dvc/config; the default remote if not given.")
_backup_option = click.option(
    "--backup", default="backup", show_default=True, help="The remote of the backup."
)


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would go, and why; change nothing.")
@_remote_option
@_backup_option
@click.option(
    "--without-backup", metavar="REASON", default="",
    help="Delete though the archive is then the only copy; the event records why.",
)  # fmt: skip
@json_option
def retention(
    dry_run: bool, remote: str | None, backup: str, without_backup: str, as_json: bool
) -> None:
    """Archive versions that conf/retention.yaml no longer keeps, then delete their objects.

    Kept are what serves, rollback targets, the last versions of production, young ones and
    those listed by hand; an object that a kept version or any branch needs stays. Nothing is
    deleted before the archive was read back in the remote and in the backup. Killed in the
    middle it has lost nothing; run it again.

    \b
    Example:
      facemodels storage retention --dry-run
    """
    from facemodels.errors import IntegrityError
    from facemodels.storage.retention.apply import RetentionRun

    context = replace(_context(remote, backup), without_backup=without_backup)
    run = RetentionRun(context)
    if dry_run:
        _show(run.survey(), has_backup=context.backup is not None, as_json=as_json)
        return
    outcome = run.apply()
    output(_as_json(outcome), _text(outcome), as_json=as_json)
    if outcome.archived:
        for text in _of_pointers(outcome.pointers):
            click.echo(text, err=True)
    if outcome.failed:
        raise IntegrityError(
            "versions could not go to the archive, and nothing of them was deleted",
            "See `facemodels storage audit --repair`.",
            changed=tuple(f"{one}: {why}" for one, why in sorted(outcome.failed.items())),
        )


def _context(remote: str | None, backup: str) -> RetentionContext:
    """The clone of the working folder, a remote (None: the default one), and the backup."""
    from facemodels.dvc_files import read_remotes
    from facemodels.registry.registry import open_registry
    from facemodels.storage.retention.context import RetentionContext
    from facemodels.storage.retention.settings import load
    from facemodels.storage.stores.object_store import CACHE
    from facemodels.storage.stores.stores import open_store

    opened = open_registry(Path.cwd())
    root = opened.root
    stores = open_store(root, CACHE), open_store(root, remote)
    second = open_store(root, backup) if backup in read_remotes(root).names else None
    if second is not None and second.url == stores[1].url:
        second = None
    return RetentionContext(opened, load(root), *stores, backup=second)


def _show(survey: RetentionSurvey, *, has_backup: bool, as_json: bool) -> None:
    plan = survey.plan
    if as_json:
        more: dict[str, Any] = {
            "pointers": list(survey.pointers),
            "unread": list(survey.unread),
            "backup": has_backup,
        }
        output({**plan.as_json(), **more, "broken": list(survey.broken)}, "", as_json=True)
        return
    rows = [
        (one.id, one.action, size_text(one.bytes), size_text(one.frees), one.reason)
        for one in plan.decisions
    ]
    print_table(("model_id", "action", "size", "frees", "reason"), rows)
    click.echo(_summary(plan))
    for text in _warnings(survey):
        click.echo(text, err=True)
    if not has_backup:
        click.echo(
            "No backup is configured: nothing would be deleted without --without-backup.", err=True
        )


def _summary(plan: RetentionPlan) -> str:
    versions, objects = len(plan.to_archive), len(plan.objects)
    return (
        f"{versions} versions would go to the archive; then {objects} objects "
        f"({size_text(plan.bytes)}) would be deleted."
    )


def _warnings(survey: RetentionSurvey) -> list[str]:
    found = []
    found += _of_pointers(survey.pointers)
    if survey.unread:
        found.append(
            f"The lists of {len(survey.unread)} folders that revisions name are nowhere, so what "
            "is in them is not known."
        )
    if survey.broken:
        found.append(f"Cannot go, as the list of files is nowhere: {', '.join(survey.broken)}.")
    return found


def _of_pointers(pointers: Sequence[str]) -> list[str]:
    """What to do about files that would let `dvc pull` look in vain for an archived package."""
    files = [path for path in pointers if path.endswith(".dvc")]
    found = []
    if files:
        found.append(
            f"{counted(len(files), 'file')} here would let `dvc pull` look in vain for what goes. "
            f"Afterwards: dvc remove --outs {' '.join(files)} && git commit -am 'Archive versions'"
        )
    if len(files) < len(pointers):
        found.append(
            "dvc.lock names a package that goes, so `dvc pull` fails on its stage until the next "
            "version of that model is released; or keep it (`keep` in conf/retention.yaml)."
        )
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
@_backup_option
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

    context = _context(remote, backup)
    second = open_store(context.registry.root, backup) if origin == "backup" else None
    done = Restorer(context, second).restore(ModelId.parse(model_id), origin, reason=reason)
    copied = ", ".join(f"{count} into {store}" for store, count in done.copied.items())
    told = f" ({done.tag})" if done.tag else ""
    text = f"Restored {done.id} from the {origin}{told}. Objects: {copied}.\n"
    value = {"model_id": done.id, "from": origin, "tag": done.tag, "copied": dict(done.copied)}
    output(value, text, as_json=as_json)

"""`facemodels storage backup` and `facemodels storage recover`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from facemodels.cli.options import FOLDER, json_option, output
from facemodels.cli.table import print_table
from facemodels.errors import InputError

if TYPE_CHECKING:
    from facemodels.storage.backup.drill import DrillReport


@click.command()
@click.option("--to", default="backup", show_default=True, help="Name of the second remote.")
@click.option("--dry-run", is_flag=True, help="Say what would be copied; copy nothing.")
@click.option("--reread", is_flag=True, help="Read all objects there again, and mend them.")
@click.option("--drill", "drilled", is_flag=True, help="Do not copy: rebuild from the backup.")
@json_option
def backup(to: str, dry_run: bool, reread: bool, drilled: bool, as_json: bool) -> None:
    """Mirror released packages, tags and the audit chain to the second remote.

    Only what is missing or changed is copied, and read again there. Ended at any moment, it
    leaves the backup before as it was. What is whole nowhere is left out and named (exit code
    3); all else is backed up. --drill makes a clone from the backup alone in a
    temporary folder, audits its registry, and fetches, verifies, loads and runs every version
    that is in production (exit code 3 where one of them fails).

    \b
    Example:
      facemodels storage backup
      facemodels storage backup --drill
    """
    from facemodels.git import find_root

    root = find_root(Path.cwd())
    if not drilled:
        from facemodels.storage.backup.create import back_up
        from facemodels.storage.backup.report import BackupRequest

        report = back_up(root, BackupRequest(to=to, dry_run=dry_run, reread=reread))
        output(report.as_json(), "\n".join(report.lines()) + "\n", as_json=as_json)
        report.require()
        return
    if dry_run or reread:
        raise InputError("--drill copies nothing.", "Leave out --dry-run and --reread.")
    from facemodels.storage.backup.drill import drill

    result = drill(root, to)
    if as_json:
        output(result.as_json(), "", as_json=True)
    else:
        _print_drill(result)
    result.require()


@click.command()
@click.argument("folder", type=FOLDER)
@click.option("--url", required=True, help="Of the backup: s3://bucket/prefix, gs://…, a folder.")
@click.option("--endpoint-url", default="", help="Of an S3 that is not Amazon's.")
@click.option("--region", default="", help="Of the S3 bucket.")
@click.option("--account-name", default="", help="Of Azure.")
@json_option
def recover(
    folder: Path, url: str, endpoint_url: str, region: str, account_name: str, as_json: bool
) -> None:
    """Make a clone with every branch, tag and event from nothing but the URL of a backup.

    Where the newest backup is damaged, the newest that is whole is taken, with a warning. On this
    machine the backup is then DVC's default remote (.dvc/config.local): `facemodels storage pull`
    brings every released version.

    \b
    Example:
      facemodels storage recover faces --url s3://models-backup/faces
    """
    from facemodels.storage.backup.recover import recover as run
    from facemodels.storage.remotes.remote import Remote, check_url, require_plugin
    from facemodels.storage.stores.stores import BACKUP
    from facemodels.text import counted

    check_url(url)
    place = str(Path(url).resolve()) if "://" not in url else url
    remote = Remote(BACKUP, place, endpoint_url, region, account_name)
    require_plugin(remote.scheme)
    done = run(remote.options(), folder)
    text = (
        f"{done.folder} is as of {done.made_at}: {counted(done.refs, 'ref')}, "
        f"{counted(len(done.versions), 'version')}.\n"
    )
    if done.instead:
        text = (
            f"Warning: the newest backup cannot be used: {done.instead} The newest that is whole "
            f"was taken, {done.manifest}; what was released after it is not here.\n{text}"
        )
    text += "".join(f"Whole nowhere even then: {one}\n" for one in done.damaged)
    output(done.as_json(), text, as_json=as_json)


def _print_drill(result: DrillReport) -> None:
    print_table(
        ("model_id", "files", "mb", "runtime", "seconds", "result"),
        [
            (one.id, one.files, f"{one.size / 1e6:.1f}", one.runtime, f"{one.seconds:.1f}",
             one.problem or "loads and runs")
            for one in result.proofs
        ],
    )  # fmt: skip
    if not result.proofs:
        click.echo("Nothing is in production: only Git and the audit chain were proven.")
    clean = "has findings" if result.findings else "is clean"
    click.echo(
        f"From {result.url} of {result.made_at}: {result.events} events, their audit {clean}."
    )

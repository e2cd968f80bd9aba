"""`facemodels storage init` and `facemodels storage doctor`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from facemodels.cli.options import json_option, output
from facemodels.errors import InputError, ToolError

if TYPE_CHECKING:
    from facemodels.storage.remotes.finding import RemoteFinding
    from facemodels.storage.remotes.remote import Remote
    from facemodels.storage.remotes.setup import RemoteChange

_ROLES = ("reader", "builder", "releaser")


def _root() -> Path:
    from facemodels.git import find_root

    return find_root(Path.cwd())


@click.command()
@click.option("--url", default="", help="s3://bucket/prefix, gs://…, azure://…, or a folder.")
@click.option("--endpoint-url", default="", help="Of an S3 that is not Amazon's.")
@click.option("--region", default="", help="Of the S3 bucket.")
@click.option("--account-name", default="", help="Of Azure.")
@click.option("--backup-url", default="", help="Of the second remote; another bucket.")
@click.option("--backup-endpoint-url", help="Of the second S3; that of the first if not given.")
@click.option("--backup-region", help="Likewise.")
@click.option("--backup-account-name", help="Likewise.")
@click.option("--print-policy", type=click.Choice(_ROLES), help="Print a role's rights on S3.")
@click.option("--dry-run", is_flag=True, help="Show the edit of .dvc/config; make none.")
@click.option("--offline", is_flag=True, help="Do not look whether the places can be reached.")
@click.option("--force", is_flag=True, help="Change remotes that versions may lie in.")
def init(
    url: str,
    endpoint_url: str,
    region: str,
    account_name: str,
    backup_url: str,
    backup_endpoint_url: str | None,
    backup_region: str | None,
    backup_account_name: str | None,
    print_policy: str | None,
    dry_run: bool,
    offline: bool,
    force: bool,
) -> None:
    """Set up the DVC remotes `storage` (the default one) and `backup`.

    Other settings and comments of .dvc/config stay. Credentials never go in there: they come
    from the environment or from .dvc/config.local. --print-policy prints the least rights of a
    role as an IAM policy, for these URLs or for the remotes that are set up, and changes nothing.

    \b
    Example:
      facemodels storage init --url s3://models/faces --backup-url s3://models-backup/faces
      facemodels storage init --print-policy builder > builder.json
    """
    from facemodels.git import Git
    from facemodels.registry.reading import read_objects
    from facemodels.storage.remotes import setup
    from facemodels.storage.remotes.remote import Remote, require_plugin, scheme_of
    from facemodels.storage.stores.stores import BACKUP, STORAGE

    root = _root()
    remotes = []
    if url:
        remotes.append(Remote(STORAGE, url, endpoint_url, region, account_name))
    if backup_url:
        near = scheme_of(backup_url) == scheme_of(url) if url else False
        first = (endpoint_url, region, account_name) if near else ("", "", "")
        own = (backup_endpoint_url, backup_region, backup_account_name)
        chosen = (b if a is None else a for a, b in zip(own, first, strict=True))
        remotes.append(Remote(BACKUP, backup_url, *chosen))
    if print_policy:
        _print_policy(root, print_policy, url, backup_url, region)
        return
    if not remotes:
        raise InputError("Nothing to set up.", "Give --url, --backup-url, or --print-policy.")
    in_use = bool(read_objects(Git(root)))
    change = setup.plan(root, remotes, force=force, in_use=in_use)
    for remote in remotes:
        require_plugin(remote.scheme)
    if not offline:
        _require_access(root, remotes)
    _apply(change, dry_run=dry_run)


def _print_policy(root: Path, role: str, url: str, backup_url: str, region: str) -> None:
    from facemodels.storage.remotes import policies, setup
    from facemodels.storage.remotes.remote import check_url
    from facemodels.storage.retention.settings import load
    from facemodels.storage.stores.stores import BACKUP, STORAGE

    known = setup.read_remotes(root)
    storage = url or known.get(STORAGE, "")
    if not storage:
        raise InputError("There is no remote to write a policy for.", "Give --url.")
    check_url(storage)
    if backup_url:
        check_url(backup_url)
    backup = backup_url or ("" if url else known.get(BACKUP, ""))
    document = policies.policy(
        policies.ROLES[_ROLES.index(role)], storage, backup,
        archive=load(root).archive.prefix, region=region,
    )  # fmt: skip
    click.echo(policies.text(document), nl=False)


def _require_access(root: Path, remotes: list[Remote]) -> None:
    """Stop unless all remotes can be listed.

    Raises:
        ToolError: one cannot.
    """
    from facemodels.storage.remotes.remote import override
    from facemodels.storage.stores.probe import TIMEOUTS, check_access
    from facemodels.storage.stores.stores import open_store

    remedies = {
        "absent": "Make the bucket first, or correct the URL.",
        "denied": "Set the credentials in the environment, or with `dvc remote modify --local`.",
        "skewed": "Set this machine's clock.",
        "unreachable": "Check the network, the URL and the endpoint.",
    }
    for remote in remotes:
        config = override(remote)
        if remote.scheme == "s3":
            config["remote"][remote.name].update(TIMEOUTS)
        found = check_access(open_store(root, remote.name, config=config))
        if found.kind != "ok":
            raise ToolError(
                f"{remote.url} cannot be read: {found.text}.",
                f"{remedies[found.kind]} Nothing was written; --offline writes it all the same.",
            )


def _apply(change: RemoteChange, *, dry_run: bool) -> None:
    difference = change.diff()
    if not dry_run:
        change.apply()
    click.echo(difference or "Nothing to change: the remotes are set up so already.\n", nl=False)
    for note in change.notes:
        click.echo(note, err=True)
    if difference and not dry_run:
        click.echo("Commit .dvc/config. Then: facemodels storage doctor", err=True)


@click.command()
@click.option("--remote", default="", help="Look at this one alone.")
@click.option("--backup", default="backup", show_default=True, help="Name of the second remote.")
@click.option(
    "--backup-days", type=click.FloatRange(0, min_open=True), default=7, show_default=True,
    help="Age from which the newest backup is too old.",
)  # fmt: skip
@json_option
def doctor(remote: str, backup: str, backup_days: float, as_json: bool) -> None:
    """Say what is wrong with the remotes, and what to do about it.

    What the store does not answer, or the rights do not let us ask, is listed as unknown.
    Exit code 1 where there is a problem, 0 where there is none.

    \b
    Example:
      facemodels storage doctor
      facemodels storage doctor --remote backup --json
    """
    from facemodels.storage.remotes.doctor import Checkup, examine

    findings = examine(_root(), Checkup(remote=remote, backup=backup, backup_days=backup_days))
    problems = [one for one in findings if one.level == "problem"]
    value = {"problems": len(problems), "findings": [asdict(one) for one in findings]}
    output(value, _told(findings), as_json=as_json)
    if problems:
        sys.exit(1)


def _told(findings: list[RemoteFinding]) -> str:
    if not findings:
        return "All is well.\n"
    blocks = [
        f"{'?' if one.level == 'unknown' else '!'} {one.where}: {one.text} ({one.kind})\n"
        f"  → {one.remedy}\n"
        for one in findings
    ]
    return "".join(blocks)

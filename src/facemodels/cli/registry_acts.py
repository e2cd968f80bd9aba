"""`facemodels registry`: the commands that add events to the chain or check it."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facemodels.cli.options import FILE, FILE_OR_FOLDER, FOLDER, json_option, output
from facemodels.cli.registry_options import enrolment_plan, id_option, local_option
from facemodels.cli.table import print_table
from facemodels.errors import InputError
from facemodels.names import ModelId, ModelName, Version
from facemodels.registry.state import STATUSES

if TYPE_CHECKING:
    from facemodels.registry.events import Event
    from facemodels.registry.registry import Registry
    from facemodels.registry.state import Entry


def _open(*, local: bool = False) -> Registry:
    from facemodels.registry.registry import open_registry

    gc.disable()  # as in `clone_state`
    return open_registry(Path.cwd(), local=local)


def _entry_after(opened: Registry, event: Event) -> Entry:
    from facemodels.registry.reading import read_events
    from facemodels.registry.state import fold

    state = fold(read_events(opened.git, [event.name.model]))
    return state.entry(state.id_of(event) or "")


def _say(entry: Entry, text: str, *, as_json: bool) -> None:
    output(entry.as_json(), f"{text}\n", as_json=as_json)


@click.command()
@click.argument("given", type=FILE_OR_FOLDER, required=False, metavar="PATH")
@click.option(
    "--path", "--model", "path", type=FILE_OR_FOLDER, help="The same: a package, or its file."
)
@click.option("--name", help="Must be the package's own.")
@click.option("--version", help="Must be the package's own.")
@click.option("--metadata", type=FILE, help="Must be the package's own metadata.json.")
@click.option("--tag", "tags", multiple=True, help="A word for filters; may be repeated.")
@click.option("--reason", "-m", default="", help="Why; the changelog if not given.")
@click.option("--revision", default="HEAD", show_default=True, help="Commit with the package.")
@click.option("--test-data", type=FOLDER, help="To compare with the version before.")
@click.option("--accept-regression", default="", metavar="REASON", help="Answer for less accuracy.")
@local_option
@json_option
def register(
    given: Path | None,
    path: Path | None,
    name: str | None,
    version: str | None,
    metadata: Path | None,
    tags: Sequence[str],
    reason: str,
    revision: str,
    test_data: Path | None,
    accept_regression: str,
    local: bool,
    as_json: bool,
) -> None:
    """Register the version in a package.

    The package is verified, must be tracked by DVC at the commit, and is compared with the
    version before it: a version number that promises more than it keeps is refused.

    \b
    Example:
      facemodels registry register --name recognition-facenet --version 2.1.3 \\
          --path models/recognition/facenet-v2.1.3/model.pt \\
          --metadata models/recognition/facenet-v2.1.3/metadata.json
    """
    from facemodels.package.policies import open_signed
    from facemodels.registry.members import unknown_members
    from facemodels.registry.registry import Registration

    path = path or given
    if path is None or given not in (None, path):
        raise click.UsageError("Give the folder of one package, as PATH or by --path.")
    opened = _open(local=local)
    package = open_signed(path, here=opened.root)
    if name is not None and ModelName.parse(name) != package.id.name:
        raise InputError(f"{path} holds {package.id.name}, not {name}.", "Correct --name.")
    if version is not None and Version.parse(version) != package.id.version:
        raise InputError(f"{path} holds {package.id.version}, not {version}.", "Correct --version.")
    if metadata is not None and metadata.resolve() != (package.folder / "metadata.json").resolve():
        raise InputError(
            f"{metadata} is not the metadata of {package.folder}.",
            f"Give {package.folder / 'metadata.json'}: it is covered by the checksums.",
        )
    asked = Registration(package, revision, tags, reason, test_data, accept_regression)
    event = opened.register(asked)
    entry = _entry_after(opened, event)
    bump = entry.facts.get("bump")
    why = f" ({bump['level']} or more was due: {'; '.join(bump['reasons'])})" if bump else ""
    text = f"Registered {entry.id} as {event.tag}{why}"
    unknown = unknown_members(opened.repository.state(), entry.facts)
    if unknown:
        text += f"\nIts members {', '.join(unknown)} are not registered: their origin is not known."
    _say(entry, text, as_json=as_json)
    _warn_of_unpushed(opened.root, entry)


def _warn_of_unpushed(root: Path, entry: Entry) -> None:
    """Say where the weights of a version can be had in this clone alone."""
    from facemodels.dvc_files import default_remote
    from facemodels.errors import ToolError
    from facemodels.release.dvc import missing_on_remote

    remote = default_remote(root)
    if not remote:
        click.echo("Warning: no default DVC remote: nobody else can get the weights.", err=True)
        return
    try:
        missing = missing_on_remote(root, [str(entry.facts["dvc"])])
    except ToolError as error:
        click.echo(f"Warning: whether others can get the weights is open. {error.what}", err=True)
        return
    if missing:
        click.echo(
            f"Warning: {remote} lacks {len(missing)} objects of {entry.id}: nobody else can get "
            "its weights. Push them: facemodels storage push",
            err=True,
        )


@click.command("update-status")
@id_option
@click.option("--status", type=click.Choice(STATUSES), required=True)
@click.option("--reason", "-m", default="", help="Why; a rollback needs one.")
@click.option(
    "--re-enrolment-plan", default="", metavar="TEXT|@FILE",
    help="How galleries get new embeddings, where the embedding space changes.",
)  # fmt: skip
@local_option
@json_option
def update_status(
    model_id: str, status: Any, reason: str, re_enrolment_plan: str, local: bool, as_json: bool
) -> None:
    """Move a version on: development, staging, production, deprecated.

    Production for a version that was there before is a rollback: it needs a reason and no
    force.

    \b
    Example:
      facemodels registry update-status --model-id rec-facenet-v2.1.3 --status production
    """
    plan = enrolment_plan(re_enrolment_plan)
    opened = _open(local=local)
    event = opened.move(ModelId.parse(model_id), status, reason=reason, re_enrolment=plan)
    entry = _entry_after(opened, event)
    verb = "Rolled back" if event.act == "rollback" else "Moved"
    _say(entry, f"{verb} {entry.id} to {entry.status} ({event.tag})", as_json=as_json)


@click.command()
@id_option
@click.option("--reason", "-m", required=True)
@click.option("--retire", is_flag=True, help="Even if it is in production; nothing takes over.")
@local_option
@json_option
def deprecate(model_id: str, reason: str, retire: bool, local: bool, as_json: bool) -> None:
    """Take a version out of use for good.

    \b
    Example:
      facemodels registry deprecate --model-id rec-facenet-v2.0.0 --reason "Superseded by v2.1.3"
    """
    opened = _open(local=local)
    event = opened.deprecate(ModelId.parse(model_id), reason=reason, retire=retire)
    entry = _entry_after(opened, event)
    _say(entry, f"Deprecated {entry.id} ({event.tag})", as_json=as_json)


@click.command()
@click.option("--offline", is_flag=True, help="Do not ask the remote first.")
@json_option
def audit(offline: bool, as_json: bool) -> None:
    """Check the chain of events, and signatures where the policy asks; exit code 3 on findings.

    \b
    Example:
      facemodels registry audit
    """
    from facemodels.errors import IntegrityError
    from facemodels.registry.registry import explain

    opened = _open()
    remote = None
    if not offline:
        try:
            opened.repository.sync()
        except IntegrityError as error:
            remote = error
    findings = opened.audit(offline=offline)
    listed = [{"kind": f.kind, "tag": f.tag, "text": f.text} for f in findings]
    if remote is not None:
        listed.append({"kind": "remote", "tag": "", "text": str(remote)})
    if as_json:
        output(listed, "", as_json=True)
    elif listed:
        print_table(("kind", "tag", "text"), [list(row.values()) for row in listed])
    else:
        events = len(opened.repository.state().events)
        click.echo(f"{events} events, each where it was signed off.")
    if findings:
        raise explain(findings)
    if remote is not None:
        raise remote


@click.command()
@click.option("--publish", is_flag=True, help="Send events that the remote lacks.")
@json_option
def sync(publish: bool, as_json: bool) -> None:
    """Fetch the events that others made, and see that the remote lost none.

    \b
    Example:
      facemodels registry sync
    """
    opened = _open()
    fetched = opened.repository.sync(publish=publish)
    found = opened.repository.remote()
    remote = found.name if found else None
    text = f"Fetched {fetched} events of {remote}." if remote else "This clone has no remote."
    output({"remote": remote, "fetched": fetched}, f"{text}\n", as_json=as_json)


@click.command()
@click.option("--vouch", is_flag=True, help="Also vouch for events that name another maker.")
@click.option("--reason", "-m", default="", help="Why you vouch for them.")
@click.option("--dry-run", is_flag=True, help="Say what would be mended, and change nothing.")
@json_option
def repair(vouch: bool, reason: str, dry_run: bool, as_json: bool) -> None:
    """Mend tags that a checkout or a fetch deleted or made lightweight in this clone.

    Only objects that the chain or the remote names are used; all else is the audit's. With
    --vouch an event is added for each one whose tag names another maker than its record, as
    versions up to 0.9 made them under a conditional configuration of Git.

    \b
    Example:
      facemodels registry repair --dry-run
    """
    from facemodels.registry import notes
    from facemodels.registry import repair as mending

    opened = _open()
    store = opened.repository
    done = mending.repair(store, dry_run=dry_run)
    rows = [{"tag": one.tag, "what": one.what} for one in done]
    for event in mending.unvouched(store) if vouch else ():
        if not dry_run:
            store.add(partial(notes.vouch, vouched=event, reason=reason))
        rows.append({"tag": event.tag, "what": f"vouched for: made by {event.tagger}"})
    lines = [f"{row['tag']}  {row['what']}\n" for row in rows] or ["Nothing is to be mended.\n"]
    if dry_run:
        lines.append("Nothing was changed.\n")
    output(rows, "".join(lines), as_json=as_json)


@click.command()
@id_option
@click.option("--tag", "tags", multiple=True, help="A label; all of them, may be repeated.")
@click.option("--no-tags", is_flag=True, help="Take all labels away.")
@click.option("--description", help="Another description.")
@click.option("--reason", "-m", default="", help="Why.")
@local_option
@json_option
def annotate(
    model_id: str,
    tags: Sequence[str],
    no_tags: bool,
    description: str | None,
    reason: str,
    local: bool,
    as_json: bool,
) -> None:
    """Give a version other labels or another description; its package stays what it is.

    \b
    Example:
      facemodels registry annotate --model-id rec-facenet-v2.1.3 --tag edge --tag cpu
    """
    from facemodels.registry import notes

    model = ModelId.parse(model_id)
    labels = tuple(tags) if tags or no_tags else None
    opened = _open(local=local)
    event = opened.act(
        lambda state: notes.annotate(
            state, model, labels=labels, description=description, reason=reason
        )
    )
    entry = _entry_after(opened, event)
    now = [] if labels is None else [f"is labelled {', '.join(entry.labels) or 'with nothing'}"]
    now += [] if description is None else ["has another description"]
    _say(entry, f"{entry.id} {' and '.join(now)} ({event.tag})", as_json=as_json)


@click.command()
@id_option
@click.option("--as", "word", required=True, metavar="WORD", help="For example champion.")
@click.option("--remove", is_flag=True, help="The word names this version no more.")
@click.option("--reason", "-m", default="", help="Why.")
@local_option
@json_option
def alias(model_id: str, word: str, remove: bool, reason: str, local: bool, as_json: bool) -> None:
    """Let a word of the team name a version; MODEL@WORD then stands for its id.

    \b
    Example:
      facemodels registry alias rec-facenet-v2.1.3 --as champion
      facemodels registry info recognition-facenet@champion
    """
    from facemodels.registry import notes

    model, make = ModelId.parse(model_id), notes.unalias if remove else notes.alias
    opened = _open(local=local)
    event = opened.act(lambda state: make(state, model, word, reason=reason))
    said = f"{model.name}@{word} is {'no alias any more' if remove else model} ({event.tag})"
    _say(_entry_after(opened, event), said, as_json=as_json)


@click.command()
@id_option
@click.option("--reason", "-m", required=True)
@local_option
@json_option
def withdraw(model_id: str, reason: str, local: bool, as_json: bool) -> None:
    """Take back the registration of a version that never left development.

    \b
    Example:
      facemodels registry withdraw --model-id rec-facenet-v2.1.3 --reason "Wrong weights"
    """
    from facemodels.registry import notes

    model = ModelId.parse(model_id)
    event = _open(local=local).act(lambda state: notes.deregister(state, model, reason=reason))
    text = f"{model} is registered no more ({event.tag}); its number is not given again.\n"
    output({"model_id": str(model), "tag": event.tag}, text, as_json=as_json)

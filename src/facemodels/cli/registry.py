"""`facemodels registry`: versions, statuses, and the chain of events behind them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facemodels.cli.options import FILE, FILE_OR_FOLDER, FOLDER, json_option, output
from facemodels.cli.registry_options import (
    clone_state,
    complete_ids,
    enrolment_plan,
    id_option,
    name_option,
)
from facemodels.cli.table import print_table
from facemodels.errors import InputError
from facemodels.names import TASKS, ModelId, ModelName, Version
from facemodels.registry.state import STATUSES

if TYPE_CHECKING:
    from facemodels.registry.events import Event
    from facemodels.registry.registry import Registry
    from facemodels.registry.state import Entry

_SORTS = ("name", "version", "created_at", "deployed_at", "status")


@click.group()
def registry() -> None:
    """Versions of models and their statuses, kept as Git tags.

    \b
    Example:
      facemodels registry list --status production
      facemodels registry info --model-id rec-facenet-v2.1.3
    """


def _open() -> Registry:
    from facemodels.registry.registry import open_registry

    return open_registry(Path.cwd())


def _entry_after(opened: Registry, event: Event) -> Entry:
    state = opened.repository.state()
    return state.entry(state.id_of(event) or "")


def _say(entry: Entry, text: str, *, as_json: bool) -> None:
    output(entry.as_json(), f"{text}\n", as_json=as_json)


@registry.command()
@click.option(
    "--path", "--model", "path", type=FILE_OR_FOLDER, required=True, help="Package, or its file."
)
@click.option("--name", help="Must be the package's own.")
@click.option("--version", help="Must be the package's own.")
@click.option("--metadata", type=FILE, help="Must be the package's own metadata.json.")
@click.option("--tag", "tags", multiple=True, help="A word for filters; may be repeated.")
@click.option("--reason", "-m", default="", help="Why; the changelog if not given.")
@click.option("--revision", default="HEAD", show_default=True, help="Commit with the package.")
@click.option("--test-data", type=FOLDER, help="To compare with the version before.")
@click.option("--accept-regression", default="", metavar="REASON", help="Answer for less accuracy.")
@json_option
def register(
    path: Path,
    name: str | None,
    version: str | None,
    metadata: Path | None,
    tags: Sequence[str],
    reason: str,
    revision: str,
    test_data: Path | None,
    accept_regression: str,
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
    from facemodels.package.load import open_package
    from facemodels.registry.packages import signing_policy
    from facemodels.registry.registry import Registration

    opened = _open()
    package = open_package(path, signature=signing_policy(opened.root))
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
    _say(entry, f"Registered {entry.id} as {event.tag}{why}", as_json=as_json)


@registry.command("list")
@name_option
@click.option("--task", type=click.Choice(TASKS))
@click.option("--status", type=click.Choice(STATUSES))
@click.option("--tag", help="Only versions with this word.")
@click.option("--sort", type=click.Choice(_SORTS), default="name", show_default=True)
@click.option("--reverse", is_flag=True, help="Highest or latest first.")
@json_option
def list_(
    name: str | None,
    task: str | None,
    status: str | None,
    tag: str | None,
    sort: str,
    reverse: bool,
    as_json: bool,
) -> None:
    """List versions. Into a pipe go tab-separated lines.

    \b
    Example:
      facemodels registry list --task recognition --status production
    """
    entries = [
        entry
        for entry in clone_state(name).entries.values()
        if (status is None or entry.status == status)
        and (task is None or ModelName.parse(entry.model).task == task)
        and (tag is None or tag in entry.facts.get("tags", ()))
    ]
    entries.sort(key=_sort_key(sort), reverse=reverse)
    if as_json:
        output([entry.as_json() for entry in entries], "", as_json=True)
        return
    print_table(
        ("model_id", "status", "created_at", "deployed_at", "tags", "changelog"),
        [_row(entry.as_json()) for entry in entries],
    )


def _sort_key(sort: str) -> Callable[[Entry], Any]:
    def key(entry: Entry) -> Any:
        own = (entry.model, entry.version, entry.id)
        if sort == "name":
            return own
        if sort == "version":
            return (entry.version, *own)
        if sort == "status":
            return (STATUSES.index(entry.status), *own)
        return (str(entry.as_json()[sort] or ""), *own)

    return key


def _row(entry: dict[str, Any]) -> tuple[object, ...]:
    return (
        entry["model_id"],
        entry["status"],
        entry["created_at"],
        entry["deployed_at"],
        ",".join(entry["tags"]),
        entry["changelog"],
    )


@registry.command()
@id_option
@json_option
def info(model_id: str, as_json: bool) -> None:
    """Everything the registry says of a version.

    \b
    Example:
      facemodels registry info --model-id rec-facenet-v2.1.3
    """
    asked = ModelId.parse(model_id)
    entry = clone_state(str(asked.name)).entry(asked)
    value = {**entry.as_json(), "commit": entry.event.commit, "evidence": dict(entry.evidence)}
    value |= {key: entry.facts[key] for key in ("interface", "gates", "bump") if key in entry.facts}
    if as_json:
        output(value, "", as_json=True)
        return
    rows = [(key, _plain(item)) for key, item in value.items()]
    print_table(("field", "value"), rows)


def _plain(value: Any) -> object:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    if isinstance(value, list):
        return "; ".join(str(_plain(item)) for item in value)
    return f"{value:.5g}" if isinstance(value, float) else value


@registry.command("update-status")
@id_option
@click.option("--status", type=click.Choice(STATUSES), required=True)
@click.option("--reason", "-m", default="", help="Why; a rollback needs one.")
@click.option(
    "--re-enrolment-plan", default="", metavar="TEXT|@FILE",
    help="How galleries get new embeddings, where the embedding space changes.",
)  # fmt: skip
@json_option
def update_status(
    model_id: str, status: Any, reason: str, re_enrolment_plan: str, as_json: bool
) -> None:
    """Move a version on: development, staging, production, deprecated.

    Production for a version that was there before is a rollback: it needs a reason and no
    force.

    \b
    Example:
      facemodels registry update-status --model-id rec-facenet-v2.1.3 --status production
    """
    plan = enrolment_plan(re_enrolment_plan)
    opened = _open()
    event = opened.move(ModelId.parse(model_id), status, reason=reason, re_enrolment=plan)
    entry = _entry_after(opened, event)
    verb = "Rolled back" if event.act == "rollback" else "Moved"
    _say(entry, f"{verb} {entry.id} to {entry.status} ({event.tag})", as_json=as_json)


@registry.command()
@id_option
@click.option("--reason", "-m", required=True)
@click.option("--retire", is_flag=True, help="Even if it is in production; nothing takes over.")
@json_option
def deprecate(model_id: str, reason: str, retire: bool, as_json: bool) -> None:
    """Take a version out of use for good.

    \b
    Example:
      facemodels registry deprecate --model-id rec-facenet-v2.0.0 --reason "Superseded by v2.1.3"
    """
    opened = _open()
    event = opened.deprecate(ModelId.parse(model_id), reason=reason, retire=retire)
    entry = _entry_after(opened, event)
    _say(entry, f"Deprecated {entry.id} ({event.tag})", as_json=as_json)


def _act(event: Event) -> str:
    """A rollout with its strategy and share: `rollout canary 10 %`."""
    terms = (event.record or {}).get("rollout")
    if not isinstance(terms, dict):
        return event.act
    return f"{event.act} {terms.get('strategy', '')} {terms.get('percent', '')} %"


@registry.command()
@name_option
@click.option("--model-id", shell_complete=complete_ids, help="One version alone.")
@json_option
def history(name: str | None, model_id: str | None, as_json: bool) -> None:
    """What happened, latest first: when, what, to which version, by whom and why.

    \b
    Example:
      facemodels registry history --name recognition-facenet
    """
    from facemodels.registry.events import to_text

    asked = ModelId.parse(model_id) if model_id else None
    state = clone_state(str(asked.name) if asked else name)
    events = state.entry(asked).events if asked else state.events
    rows = [
        {
            "time": to_text(event.time),
            "act": _act(event),
            "model_id": state.id_of(event) or event.name.model,
            "status": event.record["status"] if event.record else event.name.stage,
            "actor": event.tagger,
            "reason": event.reason,
            "tag": event.tag,
            "object": event.object,
            "commit": event.commit,
        }
        for event in reversed(events)
    ]
    if as_json:
        output(rows, "", as_json=True)
        return
    columns = ("time", "act", "model_id", "status", "actor", "reason", "tag")
    print_table(columns, [[row[column] for column in columns] for row in rows])


@registry.command()
@click.argument("time")
@name_option
@json_option
def at(time: str, name: str | None, as_json: bool) -> None:
    """What was in production, and what in staging, at TIME (UTC unless it says otherwise).

    \b
    Example:
      facemodels registry at 2026-11-14T15:00:00Z
    """
    from facemodels.registry.events import from_text

    entries = clone_state(name, from_text(time)).entries.values()
    shown = sorted(
        (e for e in entries if e.status in ("production", "staging")),
        key=lambda e: (e.model, e.status, e.version),
    )
    if as_json:
        output([entry.as_json() for entry in shown], "", as_json=True)
        return
    rows = [(e.model, e.status, e.id, e.as_json()["deployed_at"]) for e in shown]
    print_table(("name", "status", "model_id", "deployed_at"), rows)


@registry.command()
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
    findings = opened.audit()
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


@registry.command()
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
    remote = opened.repository.remote
    text = f"Fetched {fetched} events of {remote}." if remote else "This clone has no remote."
    output({"remote": remote, "fetched": fetched}, f"{text}\n", as_json=as_json)


@registry.command()
@id_option
@click.option("--format", "form", type=click.Choice(("text", "mermaid")), default="text")
@click.option("--graph", type=FILE, help="Draw it into this SVG file.")
@json_option
def lineage(model_id: str, form: str, graph: Path | None, as_json: bool) -> None:
    """Where a version comes from: parents, data, code and parameters.

    \b
    Example:
      facemodels registry lineage --model-id rec-facenet-v2.1.3 --graph lineage.svg
    """
    from facemodels.git import Git, find_root
    from facemodels.provenance.lineage import draw, mermaid, text, trace

    model = ModelId.parse(model_id)
    traced = trace(Git(find_root(Path.cwd())), clone_state(str(model.name)), model)
    if graph is not None:
        draw(traced, graph)
    shown = mermaid(traced) if form == "mermaid" else text(traced)
    output(traced.as_json(), shown, as_json=as_json)


@registry.command()
@click.argument("a", shell_complete=complete_ids)
@click.argument("b", shell_complete=complete_ids)
@json_option
def diff(a: str, b: str, as_json: bool) -> None:
    """What differs between two versions: metrics, interface, parameters, data, code.

    \b
    Example:
      facemodels registry diff rec-facenet-v2.0.0 rec-facenet-v2.1.3
    """
    from facemodels.git import Git, find_root
    from facemodels.provenance import difference

    git = Git(find_root(Path.cwd()))
    found = difference.compare(git, clone_state(), ModelId.parse(a), ModelId.parse(b))
    output(found.as_json(), difference.text(found), as_json=as_json)

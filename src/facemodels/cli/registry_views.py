"""`facemodels registry`: the commands that show versions, events and where a version comes from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facemodels.cli.options import FILE, json_option, output
from facemodels.cli.registry_options import (
    clone_state,
    complete_ids,
    complete_names,
    id_option,
    is_model,
    model_of,
    name_option,
)
from facemodels.cli.table import print_table
from facemodels.errors import InputError, some
from facemodels.names import TASKS, ModelId, ModelName
from facemodels.registry.state import STATUSES

if TYPE_CHECKING:
    from facemodels.registry.conditions import MetricCondition
    from facemodels.registry.events import Event
    from facemodels.registry.state import Entry, State

_RECORDED = ("interface", "members", "decides_by", "gates", "bump")
_SORTS = ("name", "version", "created_at", "deployed_at", "status")


@click.command("list")
@name_option
@click.option("--task", type=click.Choice(TASKS))
@click.option("--status", type=click.Choice(STATUSES))
@click.option("--tag", help="Only versions with this word.")
@click.option(
    "--where",
    "wanted",
    multiple=True,
    metavar="CONDITION",
    help='On a metric: "accuracy>=0.95"; all of several must hold.',
)
@click.option("--sort", type=click.Choice(_SORTS), default="name", show_default=True)
@click.option("--reverse", is_flag=True, help="Highest or latest first.")
@json_option
def list_(
    name: str | None,
    task: str | None,
    status: str | None,
    tag: str | None,
    wanted: Sequence[str],
    sort: str,
    reverse: bool,
    as_json: bool,
) -> None:
    """List versions. Into a pipe go tab-separated lines.

    \b
    Example:
      facemodels registry list --task recognition --status production
      facemodels registry list --where "accuracy>=0.95" --where "model_size_mb<100"
    """
    from facemodels.registry.conditions import MetricCondition

    conditions = [MetricCondition.parse(text) for text in wanted]
    state = clone_state(name)
    entries = [
        entry
        for entry in state.entries.values()
        if (status is None or entry.status == status)
        and (task is None or ModelName.parse(entry.model).task == task)
        and (tag is None or tag in entry.labels)
        and all(one.holds(entry.facts.get("metrics", {})) for one in conditions)
    ]
    if not entries and conditions:
        _name_metrics(conditions, state)
    entries.sort(key=_sort_key(sort), reverse=reverse)
    rows = [{**entry.as_json(), "archived": entry.id in state.archived} for entry in entries]
    if as_json:
        output(rows, "", as_json=True)
        return
    print_table(
        ("model_id", "status", "created_at", "deployed_at", "tags", "changelog"),
        [_row(row) for row in rows],
        spare=("created_at", "deployed_at", "tags"),
    )


def _name_metrics(conditions: Sequence[MetricCondition], state: State) -> None:
    """Say which metrics there are where a condition names none of them."""
    known = {name for entry in state.entries.values() for name in entry.facts.get("metrics", {})}
    for one in conditions:
        if one.metric not in known:
            near = get_close_matches(one.metric, known, 1)
            raise InputError(
                f"No version here has a metric {one.metric}."
                + (f" Did you mean {near[0]}?" if near else ""),
                f"There are: {some(sorted(known), 30)}."
                if known
                else "No version was registered with metrics.",
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
        f"{entry['status']}, archived" if entry["archived"] else entry["status"],
        entry["created_at"],
        entry["deployed_at"],
        ",".join(entry["tags"]),
        entry["changelog"],
    )


@click.command()
@click.option("--task", type=click.Choice(TASKS))
@json_option
def models(task: str | None, as_json: bool) -> None:
    """One line a model: the latest version, who is in staging, in production and on its way.

    \b
    Example:
      facemodels registry models --task recognition
    """
    state = clone_state()
    names = sorted({entry.model for entry in state.entries.values()})
    rows = [_model(state, name) for name in names if task in (None, ModelName.parse(name).task)]
    if as_json:
        output(rows, "", as_json=True)
        return
    shown = [
        (
            row["name"], *(_number(row[key]) for key in ("latest", "staging", "production")),
            _number(row["on_its_way"]) + (f" ({row['percent']} %)" if row["percent"] else ""),
            ", ".join(f"{word} {_number(named)}" for word, named in row["aliases"].items()),
        )
        for row in rows
    ]  # fmt: skip
    print_table(("name", "latest", "staging", "production", "on its way", "aliases"), shown)


def _model(state: State, name: str) -> dict[str, Any]:
    """The ids of the versions of one model that matter now; "" where there is none."""
    staged = state.entries.get(state.id_staged(name) or "")
    running = state.rollouts.get(name)
    terms = (running.record or {}).get("rollout") if running else None
    return {
        "name": name,
        "latest": state.of_model(name)[-1].id,
        "staging": staged.id if staged else "",
        "production": state.production.get(name, ""),
        "on_its_way": (state.id_of(running) or "") if running else "",
        "percent": terms.get("percent", 0) if isinstance(terms, dict) else 0,
        "aliases": {
            word: named for (model, word), named in sorted(state.aliases.items()) if model == name
        },
    }


def _number(identity: str) -> str:
    """The version in an id, without the model that its line names."""
    if not identity:
        return ""
    model = ModelId.parse(identity)
    return f"{model.version}-{model.variant}" if model.variant else str(model.version)


@click.command()
@id_option
@json_option
def info(model_id: str, as_json: bool) -> None:
    """Everything the registry says of a version.

    \b
    Example:
      facemodels registry info rec-facenet-v2.1.3
    """
    from facemodels.registry.members import systems_with

    state = clone_state(model_of(model_id), systems=True)
    entry = state.entry(model_id)
    asked = ModelId.parse(entry.id)
    value = {**entry.as_json(), "commit": entry.event.commit, "evidence": dict(entry.evidence)}
    value |= {"aliases": state.aliases_of(entry.id), "archived": entry.id in state.archived}
    value |= {key: entry.facts[key] for key in _RECORDED if key in entry.facts}
    if asked.name.task != "system":
        value["pinned_by"] = [system.id for system in systems_with(state, entry.id)]
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


@click.command()
@click.argument("given", required=False, metavar="[NAME|MODEL_ID]", shell_complete=complete_names)
@name_option
@click.option("--model-id", shell_complete=complete_ids, help="One version alone.")
@json_option
def history(given: str | None, name: str | None, model_id: str | None, as_json: bool) -> None:
    """What happened, latest first: when, what, to which version, by whom and why.

    \b
    Example:
      facemodels registry history recognition-facenet
    """
    from facemodels.deployment.history import decided_by
    from facemodels.registry.events import to_text

    if sum(word is not None for word in (given, name, model_id)) > 1:
        raise click.UsageError("Name one model or one version.")
    if given is not None:
        name, model_id = (given, None) if is_model(given) else (None, given)
    asked = ModelId.parse(model_id) if model_id else None
    state = clone_state(str(asked.name) if asked else name)
    events = state.events
    if asked is not None:
        events = (state.withdrawn.get(str(asked)) or state.entry(asked)).events
    rows = [
        {
            "time": to_text(event.time),
            "act": _act(event),
            "model_id": state.id_of(event) or str(asked or event.name.model),
            "status": event.record["status"] if event.record else event.name.stage,
            "actor": decided_by(event),
            "tagger": event.tagger,
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
    cells = [[row[column] for column in columns] for row in rows]
    print_table(columns, cells, spare=["tag", "actor"])


def _act(event: Event) -> str:
    """An act with its terms: `rollout canary 10 %`, `alias champion`; an emergency is named."""
    if event.act in ("alias", "unalias"):
        return f"{event.act} {event.name.stage}"
    record = event.record or {}
    urgent = " (emergency)" if record.get("emergency") else ""
    terms = record.get("rollout")
    if not isinstance(terms, dict):
        return f"{event.act}{urgent}"
    return f"{event.act} {terms.get('strategy', '')} {terms.get('percent', '')} %{urgent}"


@click.command()
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


@click.command()
@id_option
@click.option("--format", "form", type=click.Choice(("text", "mermaid")), default="text")
@click.option("--graph", type=FILE, help="Draw it into this SVG file.")
@json_option
def lineage(model_id: str, form: str, graph: Path | None, as_json: bool) -> None:
    """Where a version comes from: parents, data, code and parameters; of a system, its members.

    \b
    Example:
      facemodels registry lineage --model-id rec-facenet-v2.1.3 --graph lineage.svg
    """
    from facemodels.git import Git, find_root
    from facemodels.provenance.lineage import draw, mermaid, text, trace

    name = model_of(model_id)
    state = clone_state(None if ModelName.parse(name).task == "system" else name)
    traced = trace(Git(find_root(Path.cwd())), state, state.entry(model_id).id)
    if graph is not None:
        draw(traced, graph)
    shown = mermaid(traced) if form == "mermaid" else text(traced)
    output(traced.as_json(), shown, as_json=as_json)


@click.command()
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
    state = clone_state()
    pair = (ModelId.parse(state.entry(one).id) for one in (a, b))
    found = difference.compare(git, state, *pair)
    output(found.as_json(), difference.text(found), as_json=as_json)


@click.command("check-ref")
@click.argument("ref")
@json_option
def check_ref(ref: str, as_json: bool) -> None:
    """What a tag says: act, version and status; exit code 2 if it is no event of the registry.

    \b
    Example:
      facemodels registry check-ref "$GITHUB_REF" --json
    """
    from facemodels.git import Git, find_root
    from facemodels.registry.reading import is_event, read_event

    tag = ref.removeprefix("refs/tags/")
    found = read_event(Git(find_root(Path.cwd())), tag) if is_event(tag) else None
    if found is None:
        raise InputError(
            f"{ref} is no event of the registry here.",
            "Tags such as MODEL@v1.0.0 are; `facemodels registry sync` fetches them.",
        )
    record = found.record or {}
    version = str(record.get("model_id", found.name.version))
    value = {
        "act": found.act, "model_id": version, "name": found.name.model, "tag": tag,
        "status": str(record.get("status", found.name.stage)), "commit": found.commit,
    }  # fmt: skip
    output(value, f"{found.act} {version or found.name.model} {value['status']}\n", as_json=as_json)

"""Prints the events of deployments and rollbacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facemodels.cli.options import output

if TYPE_CHECKING:
    from facemodels.registry.events import Event
    from facemodels.registry.proposals import ProposedEvent


def show_proposed(proposed: ProposedEvent, environment: str, *, as_json: bool) -> None:
    """Print the event that a command would make."""
    words = _words(proposed.act, str(proposed.model), environment, proposed.extra)
    value = {"act": proposed.act, "model_id": str(proposed.model), "tag": proposed.tag}
    output({**value, "dry_run": True}, f"Would {words}.\n", as_json=as_json)


def show_event(event: Event, environment: str, *, as_json: bool) -> None:
    """Print the event that a command made."""
    record = event.record or {}
    text = _words(event.act, record["model_id"], environment, record).capitalize()
    value = {"act": event.act, "model_id": record["model_id"], "tag": event.tag}
    output({**value, "dry_run": False}, f"{text} ({event.tag}).\n", as_json=as_json)


def _words(act: str, model: str, environment: str, record: Any) -> str:
    if act == "rollout":
        terms = record["rollout"]
        part = f", {terms['percent']} %" if terms["percent"] else ""
        return f"roll out {model} by {terms['strategy']}{part}"
    if act == "withdraw":
        return f"take {model} back from its rollout"
    if act == "rollback":
        return f"roll {environment} back to {model}"
    return f"put {model} into {environment}"

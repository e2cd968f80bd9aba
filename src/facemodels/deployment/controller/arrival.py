"""Whether the traffic of a model is where an event wants it, by what the controller says. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from facemodels.deployment.desired import Desired, desired
from facemodels.deployment.history import changes, in_words, is_step_back
from facemodels.registry.state import State


@dataclass(frozen=True)
class Arrival:
    """How far the traffic is.

    Attributes:
        words: what is so now and what is missing, for people.
        done: whether the traffic is where it must be, and every version of the rollout is ready.
        ended: the event that took the version back meanwhile, in words; "" if none did.
    """

    words: str
    done: bool = False
    ended: str = ""


def arrival(
    state: State, environment: str, model: str, tag: str, status: Mapping[str, Any]
) -> Arrival:
    """Compare what serves with what the tags, and the rollbacks that wait for their tag, want.

    Args:
        state: the state that the registry's tags add up to.
        environment: `staging` or `production`.
        model: the model's name, for example `recognition-facenet`.
        tag: the event that is waited for; "" for a rollback that has none yet.
        status: the document of `status.read_status`.
    """
    taken_back = _taken_back(state, model, tag)
    if taken_back:
        return Arrival(taken_back, ended=taken_back)
    wanted = desired(state, environment).get(model)
    to = {one["model"]: one["to"] for one in status["decisions"]}.get(model)
    if wanted is None or status["controller"] is None:
        return Arrival("no controller runs here" if wanted else f"{model} is not deployed")
    shares = {to: 100} if to else {name: part for name, part in wanted.shares.items() if part}
    missing = [] if _serving(status, model) == shares else [f"wanted: {_text(shares)}"]
    missing += [] if status["router"].get("applied") else ["the router reads its routes"]
    missing += _not_ready(status, (to,) if to else _needed(wanted))
    serves = _text(_serving(status, model)) or "nothing"
    return Arrival("; ".join([f"{model}: {serves} serves", *missing]), done=not missing)


def _taken_back(state: State, model: str, tag: str) -> str:
    """The event after a tag that took its version back, in words; "" without one."""
    events = changes(state, [model])
    tags = [event.tag for event in events]
    later = events[tags.index(tag) + 1 :] if tag in tags else []
    found = next((event for event in later if is_step_back(event)), None)
    return in_words(state, found) if found is not None else ""


def _needed(wanted: Desired) -> tuple[str, ...]:
    """The versions that must be ready: a shadow and blue-green get no share, and must be, too."""
    return (wanted.stable, wanted.rollout.id) if wanted.rollout else (wanted.stable,)


def _serving(status: Mapping[str, Any], model: str) -> dict[str, int]:
    models = status["models"]
    found: dict[str, int] = next((one["serving"] for one in models if one["model"] == model), {})
    return {name: share for name, share in found.items() if share}


def _not_ready(status: Mapping[str, Any], needed: tuple[str, ...]) -> list[str]:
    ready = {one["model_id"] for one in status["servers"] if one["ready"]}
    why = {one["model_id"]: one["problem"] for one in status["servers"] if not one["ready"]}
    waiting = (name for name in needed if name not in ready)
    return [f"{name} is not ready: {why.get(name) or 'it starts'}" for name in waiting]


def _text(shares: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {share} %" for name, share in shares.items())


def before_completion(model_id: str, status: Mapping[str, Any]) -> list[str]:
    """What speaks against completing a rollout now, as sentences; empty if nothing does.

    Args:
        model_id: the version that the rollout brings.
        status: the document of `status.read_status`.
    """
    found = [f"{one}." for one in _not_ready(status, (model_id,))]
    for one in status["models"]:
        if (one["rollout"] or {}).get("id") != model_id:
            continue
        verdict = one["verdict"] or {"answer": "hold", "reasons": ["it was not judged yet"]}
        if verdict["answer"] != "promote":
            why = "; ".join(verdict["reasons"])
            found.append(f"the verdict on {model_id} is {verdict['answer']}: {why}.")
    return found if status["controller"] is not None else []

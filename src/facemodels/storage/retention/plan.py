"""Which versions stay and which go to the archive, and what may be deleted then. Pure.

Kept is, of each model: what serves (production, a rollout, staging's environment), what a
rollback would go to, what somebody listed by hand, what is young, and the last versions that
were in production. To the archive go deprecated versions after their grace period and older
versions of production. A version that was neither deprecated nor in production stays: nobody
has said yet that it is of no use.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from facemodels.errors import InputError, RuleError
from facemodels.registry.registry import previous_production
from facemodels.registry.state import ARCHIVED, Entry, State
from facemodels.storage.retention.settings import Retention
from facemodels.storage.stores.objects import Objects

Action = Literal["keep", "archive", "archived"]
_DAY = 24 * 3600  # seconds


@dataclass(frozen=True)
class Decision:
    """What becomes of a version.

    Attributes:
        id: for example `rec-facenet-v2.1.3`.
        action: `keep`, `archive`, or `archived` for one that is in the archive.
        reason: why, for people.
        bytes: of its objects, as far as they are there; those it shares included.
    """

    id: str
    action: Action
    reason: str
    bytes: int = 0


@dataclass(frozen=True)
class Plan:
    """What retention would do.

    Attributes:
        decisions: on every version, by model and number.
        objects: that would be deleted, each folder's list after all files: what has a list has
            its files, or somebody is about to finish.
        bytes: of these objects.
    """

    decisions: tuple[Decision, ...]
    objects: tuple[str, ...]
    bytes: int

    @property
    def retired(self) -> tuple[str, ...]:
        """Versions that go to the archive."""
        return tuple(one.id for one in self.decisions if one.action == "archive")

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "versions": [
                {"model_id": one.id, "action": one.action, "reason": one.reason, "bytes": one.bytes}
                for one in self.decisions
            ],
            "objects": list(self.objects),
            "bytes": self.bytes,
        }


def decide(
    state: State, settings: Retention, now: float, named: Mapping[str, str] | None = None
) -> tuple[Decision, ...]:
    """What becomes of every version, without the bytes.

    Args:
        state: of the registry.
        settings: of the repository.
        now: seconds since 1970.
        named: further versions that must stay, with the reason.

    Raises:
        InputError: a version is listed by hand that is not registered, perhaps mistyped.
    """
    unknown = sorted(set(settings.keep) - state.entries.keys())
    if unknown:
        raise InputError(
            f"conf/retention.yaml keeps {', '.join(unknown)}, which nobody registered.",
            "Correct the id; see `facemodels registry list`.",
        )
    past = _production_pasts(state)
    safe = {
        **(named or {}),
        **dict.fromkeys(settings.keep, "listed in conf/retention.yaml"),
        **dict(_rollback_targets(state)),
        **dict(_serving(state)),
    }
    later = {}  # versions of production that came after, by id
    for model in past:
        usable = (one for one in past[model] if state.entries[one].status != "deprecated")
        later.update({identity: count for count, identity in enumerate(usable)})
    ordered = sorted(state.entries.values(), key=lambda e: (e.model, e.version, e.id))
    return tuple(
        Decision(entry.id, *_decide(state, entry, settings, now, safe, later)) for entry in ordered
    )


def plan(
    state: State,
    settings: Retention,
    now: float,
    objects: Mapping[str, Objects],
    sizes: Mapping[str, int],
    *,
    needed: Collection[str] = (),
    named: Mapping[str, str] | None = None,
) -> Plan:
    """What retention would do, and which objects nobody would need any more.

    Takes time linear in the number of versions and objects.

    Args:
        state: of the registry.
        settings: of the repository.
        now: seconds since 1970.
        objects: of the versions, by id. Of a version that is kept they must be there if they
            are anywhere; one that goes or went and is missing here has nothing to delete.
        sizes: bytes of the objects that are there.
        needed: objects that must stay for other reasons, such as datasets.
        named: see `decide`.

    Raises:
        InputError: see `decide`.
    """
    decisions = []
    held, loose = set(needed), set[str]()
    for one in decide(state, settings, now, named):
        own = objects.get(one.id)
        oids = own.oids if own else ()
        (held if one.action == "keep" else loose).update(oids)
        total = sum(sizes.get(oid, 0) for oid in oids)
        decisions.append(Decision(one.id, one.action, one.reason, total))
    gone = sorted((loose - held) & sizes.keys(), key=lambda oid: (oid.endswith(".dir"), oid))
    return Plan(tuple(decisions), tuple(gone), sum(sizes[oid] for oid in gone))


def _serving(state: State) -> Iterator[tuple[str, str]]:
    """Versions that answer requests, or are about to; the last reason of a version counts."""
    for event in state.in_staging.values():
        yield state.id_of(event) or "", "in staging's environment"
    for event in state.rollouts.values():
        yield state.id_of(event) or "", f"on its way to production ({event.tag})"
    for identity in state.production.values():
        yield identity, "in production"


def _production_pasts(state: State) -> dict[str, list[str]]:
    """Versions that were in production, by model, the one that was there last first."""
    pasts: dict[str, dict[str, None]] = {}
    for event in reversed(state.events):
        if (event.name.act, event.name.stage) == ("assign", "production"):
            identity = state.id_of(event)
            if identity in state.entries:
                pasts.setdefault(event.name.model, {}).setdefault(str(identity))
    return {model: list(ids) for model, ids in pasts.items()}


def _rollback_targets(state: State) -> Iterator[tuple[str, str]]:
    """What the environments keep warm."""
    for model in state.production:
        with suppress(RuleError):
            yield previous_production(state, model).id, "what a rollback would go to"


def _decide(
    state: State,
    entry: Entry,
    settings: Retention,
    now: float,
    safe: Mapping[str, str],
    later: Mapping[str, int],
) -> tuple[Action, str]:
    if entry.id in state.archived and entry.id != state.production.get(entry.model):
        return "archived", f"in the archive ({state.archived[entry.id].tag})"
    since, word = _available_since(entry)
    if entry.id in safe:
        return "keep", safe[entry.id]
    if now - since < settings.keep_days * _DAY:
        return "keep", f"{word} {_days(now - since)} ago"
    if not str(entry.evidence.get("dvc", "")):
        return "keep", "registered without a folder that DVC tracks"
    if entry.status == "deprecated":
        return _after_deprecation(now - _deprecated_at(entry), settings)
    return _after_production(later.get(entry.id), settings)


def _after_deprecation(age: float, settings: Retention) -> tuple[Action, str]:
    if age < settings.grace_days * _DAY:
        return "keep", f"deprecated {_days(age)} ago; goes after {settings.grace_days:g} days"
    return "archive", f"deprecated {_days(age)} ago"


def _after_production(later: int | None, settings: Retention) -> tuple[Action, str]:
    if later is None:
        return "keep", "not deprecated, never in production"
    if later < settings.keep_production:
        return "keep", f"among the last {settings.keep_production} of production"
    return "archive", f"{later} newer versions were in production"


def _available_since(entry: Entry) -> tuple[int, str]:
    """When its weights came, or came back."""
    for event in reversed(entry.events):
        if (event.name.act, event.name.stage) == ("unassign", ARCHIVED):
            return event.time, "restored"
    return entry.event.time, "registered"


def _deprecated_at(entry: Entry) -> int:
    """Seconds since 1970, of the last time that somebody said so."""
    for event in reversed(entry.events):
        name = event.name
        if name.act == "deprecate-model" or (name.act, name.stage) == ("assign", "deprecated"):
            return event.time
    return entry.event.time


def _days(seconds: float) -> str:
    days = int(seconds // _DAY)
    return "1 day" if days == 1 else f"{days} days"

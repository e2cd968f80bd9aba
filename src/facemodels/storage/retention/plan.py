"""Decides which versions stay, which are archived, and what may be deleted then. Pure.

Of each model these versions are kept: those that serve (in production, in a rollout, in staging's
environment), the one that a rollback would go to, those listed by hand, members of a system in use,
young ones, and the last versions that were in production. Deprecated versions are archived after
their grace period, and so are older versions of production. A version that was neither deprecated
nor in production stays, because nobody has said yet that it is of no use. So does one that shares
most of its bytes with what is kept: its archive would take more room than its deletion frees.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

from facemodels.errors import InputError, RuleError
from facemodels.registry.members import members_of
from facemodels.registry.registry import previous_production
from facemodels.registry.state import ARCHIVED, Entry, State
from facemodels.storage.retention.settings import RetentionSettings
from facemodels.storage.stores.objects import VersionObjects

Action = Literal["keep", "archive", "archived"]
_DAY = 24 * 3600  # seconds


@dataclass(frozen=True)
class RetentionDecision:
    """What retention does with a version.

    Attributes:
        id: the version, for example `rec-facenet-v2.1.3`.
        action: `keep`, `archive`, or `archived` for a version that is in the archive already.
        reason: why, for people.
        bytes: the bytes of its objects that are there, shared ones included.
        frees: the bytes of those that nothing which is kept needs.
    """

    id: str
    action: Action
    reason: str
    bytes: int = 0
    frees: int = 0


@dataclass(frozen=True)
class RetentionPlan:
    """What retention would do.

    Attributes:
        decisions: one for every version, sorted by model and version number.
        objects: the ids of the objects that would be deleted, the lists of folders after all
            files.
        bytes: the bytes of these objects.
    """

    decisions: tuple[RetentionDecision, ...]
    objects: tuple[str, ...]
    bytes: int

    @property
    def to_archive(self) -> tuple[str, ...]:
        """The ids of the versions that are to be archived."""
        return tuple(one.id for one in self.decisions if one.action == "archive")

    def as_json(self) -> dict[str, Any]:
        """The plan as values of JSON."""
        return {
            "versions": [
                {
                    "model_id": one.id, "action": one.action, "reason": one.reason,
                    "bytes": one.bytes, "frees": one.frees,
                }
                for one in self.decisions
            ],
            "objects": list(self.objects),
            "bytes": self.bytes,
        }  # fmt: skip


def decide(
    state: State, settings: RetentionSettings, now: float, named: Mapping[str, str] | None = None
) -> tuple[RetentionDecision, ...]:
    """Decide what to do with every version; the bytes are not counted.

    Args:
        state: the state of the registry.
        settings: the settings of the repository.
        now: the time in seconds since 1970.
        named: further versions that must stay, by id, with the reason.

    Raises:
        InputError: the settings list a version that is not registered.
    """
    unknown = sorted(set(settings.keep) - state.entries.keys())
    if unknown:
        raise InputError(
            f"conf/retention.yaml keeps {', '.join(unknown)}, which nobody registered.",
            "Correct the id; see `facemodels registry list`.",
        )
    past = _production_pasts(state)
    safe = {
        **dict(_members(state)),
        **(named or {}),
        **dict.fromkeys(settings.keep, "listed in conf/retention.yaml"),
        **dict(_rollback_targets(state)),
        **dict(_serving(state)),
    }
    later = {}  # by id: how many versions of the model were in production after it
    for model in past:
        usable = (one for one in past[model] if state.entries[one].status != "deprecated")
        later.update({identity: count for count, identity in enumerate(usable)})
    ordered = sorted(state.entries.values(), key=lambda e: (e.model, e.version, e.id))
    return tuple(
        RetentionDecision(entry.id, *_decide(state, entry, settings, now, safe, later))
        for entry in ordered
    )


def plan(
    state: State,
    settings: RetentionSettings,
    now: float,
    objects: Mapping[str, VersionObjects],
    sizes: Mapping[str, int],
    *,
    needed: Collection[str] = (),
    named: Mapping[str, str] | None = None,
) -> RetentionPlan:
    """Decide what to do, and find the objects that nothing would need any more.

    The time is linear in the number of versions and objects.

    Args:
        state: the state of the registry.
        settings: the settings of the repository.
        now: the time in seconds since 1970.
        objects: the objects of the versions, by version id. Those of a kept version must be given
            if they are anywhere; of another version that is not given nothing is deleted.
        sizes: the bytes of the objects that are there, by id.
        needed: the ids of objects that must stay for other reasons, such as datasets.
        named: see `decide`.

    Raises:
        InputError: see `decide`.
    """
    oids = {one: [oid for oid in own.oids if oid in sizes] for one, own in objects.items()}
    decided = decide(state, settings, now, named)
    decisions = _that_pay(decided, oids, sizes, set(needed), settings.least_freed)
    held = set(needed).union(*(oids.get(one.id, ()) for one in decisions if one.action == "keep"))
    loose = {oid for one in decisions if one.action != "keep" for oid in oids.get(one.id, ())}
    gone = sorted(loose - held, key=lambda oid: (oid.endswith(".dir"), oid))
    return RetentionPlan(decisions, tuple(gone), sum(sizes[oid] for oid in gone))


def _that_pay(
    decisions: Sequence[RetentionDecision],
    oids: Mapping[str, Sequence[str]],
    sizes: Mapping[str, int],
    needed: set[str],
    least_freed: float,
) -> tuple[RetentionDecision, ...]:
    """The decisions with their bytes; a version whose archive would not pay is kept.

    What it shares is then kept too, so that another one may not pay any more: again until none
    changes.
    """
    found = {one.id: one for one in decisions}
    while True:
        held = needed.union(*(oids.get(i, ()) for i, one in found.items() if one.action == "keep"))
        for one in found.values():
            own = oids.get(one.id, ())
            total = sum(sizes[oid] for oid in own)
            frees = sum(sizes[oid] for oid in own if oid not in held)
            found[one.id] = replace(one, bytes=total, frees=0 if one.action == "keep" else frees)
        lean = [
            one
            for one in found.values()
            if one.action == "archive" and one.frees < one.bytes * least_freed
        ]
        if not lean:
            return tuple(found.values())
        for one in lean:
            reason = f"{one.reason}, but shares its bytes with what is kept"
            found[one.id] = replace(one, action="keep", reason=reason)


def _serving(state: State) -> Iterator[tuple[str, str]]:
    """Yield the versions that answer requests or are about to; the last reason of each counts."""
    for event in state.in_staging.values():
        yield state.id_of(event) or "", "in staging's environment"
    for event in state.rollouts.values():
        yield state.id_of(event) or "", f"on its way to production ({event.tag})"
    for identity in state.production.values():
        yield identity, "in production"


def _members(state: State) -> Iterator[tuple[str, str]]:
    """Yield the versions that a system pins which is neither deprecated nor archived."""
    for entry in state.entries.values():
        if entry.status != "deprecated" and entry.id not in state.archived:
            for pin in members_of(entry.facts):
                yield pin.id, f"a member of {entry.id}"


def _production_pasts(state: State) -> dict[str, list[str]]:
    """The versions that were in production, by model, the one that was there last first."""
    pasts: dict[str, dict[str, None]] = {}
    for event in reversed(state.events):
        if (event.name.act, event.name.stage) == ("assign", "production"):
            identity = state.id_of(event)
            if identity in state.entries:
                pasts.setdefault(event.name.model, {}).setdefault(str(identity))
    return {model: list(ids) for model, ids in pasts.items()}


def _rollback_targets(state: State) -> Iterator[tuple[str, str]]:
    """Yield the version of each model that a rollback would go to."""
    for model in state.production:
        with suppress(RuleError):
            yield previous_production(state, model).id, "what a rollback would go to"


def _decide(
    state: State,
    entry: Entry,
    settings: RetentionSettings,
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
        return "keep", f"{word} {_days(now - since)} ago; stays {settings.keep_days:g} days"
    if not str(entry.evidence.get("dvc", "")):
        return "keep", "registered without a folder that DVC tracks"
    if entry.status == "deprecated":
        return _after_deprecation(now - _deprecated_at(entry), settings)
    return _after_production(later.get(entry.id), settings)


def _after_deprecation(age: float, settings: RetentionSettings) -> tuple[Action, str]:
    if age < settings.grace_days * _DAY:
        return "keep", f"deprecated {_days(age)} ago; goes after {settings.grace_days:g} days"
    return "archive", f"deprecated {_days(age)} ago"


def _after_production(later: int | None, settings: RetentionSettings) -> tuple[Action, str]:
    if later is None:
        return "keep", "not deprecated, never in production"
    if later < settings.keep_production:
        return "keep", f"among the last {settings.keep_production} of production"
    return "archive", f"{later} newer versions were in production"


def _available_since(entry: Entry) -> tuple[int, str]:
    """The time, in seconds since 1970, of the registration or last restoration, and its name."""
    for event in reversed(entry.events):
        if (event.name.act, event.name.stage) == ("unassign", ARCHIVED):
            return event.time, "restored"
    return entry.event.time, "registered"


def _deprecated_at(entry: Entry) -> int:
    """The time of the last deprecation, in seconds since 1970."""
    for event in reversed(entry.events):
        name = event.name
        if name.act == "deprecate-model" or (name.act, name.stage) == ("assign", "deprecated"):
            return event.time
    return entry.event.time


def _days(seconds: float) -> str:
    days = int(seconds // _DAY)
    return "1 day" if days == 1 else f"{days} days"

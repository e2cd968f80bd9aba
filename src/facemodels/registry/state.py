"""The state: the versions, their statuses and who is in production, as the events say. Pure.

GTO's meaning of its tags holds: a stage's tag speaks of the version that was registered at
the commit it points to; the last one of a stage counts. A model has one production version;
the one it takes over from goes back to `staging`, ready for a rollback.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal

from facemodels.errors import InputError
from facemodels.names import ModelId, Version
from facemodels.registry.events import Event, to_text

Status = Literal["development", "staging", "production", "deprecated"]
STATUSES: tuple[Status, ...] = ("development", "staging", "production", "deprecated")
ROLLOUT = "rollout"  # a stage of its own: GTO and Studio show who is on the way to production
ARCHIVED = "archived"  # another: whose objects are in an archive and no more in the remote
VOUCHED, ANNOTATED = "vouched", "annotated"  # words on an event or a version (see `notes`)
# Stages with a meaning of ours; every other one is an alias, whoever gave it.
OWN_STAGES = frozenset({*STATUSES, ROLLOUT, ARCHIVED, VOUCHED, ANNOTATED})
_VERSION = re.compile(r"v?[0-9]")  # no alias begins so


@dataclass(slots=True)
class Entry:
    """A registered version.

    Attributes:
        event: the event that registered it.
        status: its present status.
        staged: whether it was put into staging and, by GTO's tags, not taken from there.
        deployed_at: when it last went to production, in seconds since 1970; None if never.
        events: all its events, oldest first.
    """

    event: Event
    status: Status = "development"
    staged: bool = False
    deployed_at: int | None = None
    events: list[Event] = field(default_factory=list)

    @property
    def id(self) -> str:
        """For example `rec-facenet-v2.1.3`."""
        return self.event.name.version

    @property
    def model(self) -> str:
        """For example `recognition-facenet`."""
        return self.event.name.model

    @property
    def version(self) -> Version:
        """The version number."""
        return ModelId.parse(self.id).version

    @property
    def evidence(self) -> Mapping[str, Any]:
        """Digests recorded at registration; empty for a version that GTO registered."""
        return self.event.record["evidence"] if self.event.record else {}

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the registration recorded about the version; empty if GTO registered it."""
        return self.event.record.get("entry", {}) if self.event.record else {}

    @property
    def labels(self) -> tuple[str, ...]:
        """The words that lists can be filtered by, as they were given last."""
        return tuple(self._told("tags") or ())

    @property
    def description(self) -> str:
        """What it is, as it was told last."""
        return str(self._told("description") or "")

    def _told(self, key: str) -> Any:
        for event in reversed(self.events):
            told = (event.record or {}).get("annotation")
            if isinstance(told, dict) and key in told:
                return told[key]
        return self.facts.get(key)

    def as_json(self) -> dict[str, Any]:
        """The entry as the model guide writes it."""
        facts = self.facts
        return {
            "model_id": self.id,
            "name": self.model,
            "version": str(self.version),
            "status": self.status,
            "created_at": facts.get("created_at", to_text(self.event.time)),
            "deployed_at": None if self.deployed_at is None else to_text(self.deployed_at),
            "storage_path": facts.get("storage_path", ""),
            "metrics": facts.get("metrics", {}),
            "tags": list(self.labels),
            "parent_version": facts.get("parent_version", ""),
            "changelog": facts.get("changelog", self.event.reason),
        }


@dataclass(slots=True)
class State:
    """The registry at one moment.

    Attributes:
        entries: every registered version, by id.
        production: the id of the version in production, by model.
        rollouts: the event that gives a version a part of production, by model.
        in_staging: the event that put a version last into staging, by model.
        archived: the event that put a version into the archive, by id.
        aliases: the id of the version that a word such as `champion` names, by model and word.
        events: all events, in the order in which they count.
        systems: the registered versions that are made of others, by id.
        withdrawn: the versions whose registration was taken back, by id, as they were last.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    production: dict[str, str] = field(default_factory=dict)
    rollouts: dict[str, Event] = field(default_factory=dict)
    in_staging: dict[str, Event] = field(default_factory=dict)
    archived: dict[str, Event] = field(default_factory=dict)
    aliases: dict[tuple[str, str], str] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    systems: dict[str, Entry] = field(default_factory=dict)
    withdrawn: dict[str, Entry] = field(default_factory=dict)
    _at: dict[tuple[str, str], str] = field(default_factory=dict)  # (model, commit) → id
    # What the rules ask at every event; a look through all events would make an audit quadratic.
    _tags: set[str] = field(default_factory=set)
    _last: dict[str, Event] = field(default_factory=dict)  # by model
    _numbers: dict[str, int] = field(default_factory=dict)  # by model

    def entry(self, model: ModelId | str) -> Entry:
        """The entry of a version, by its id or by an alias: `recognition-facenet@champion`.

        Raises:
            InputError: it is not registered, was withdrawn, or the model has no such alias.
        """
        key = str(model if isinstance(model, ModelId) else self._resolve(model))
        if key not in self.entries:
            raise self._unknown(key)
        return self.entries[key]

    def _unknown(self, key: str) -> InputError:
        """What to say of a version that has no entry: that it was taken back, or never was here."""
        if key in self.withdrawn:
            gone = self.withdrawn[key].events[-1]
            return InputError(
                f"{key} is registered no more: {gone.tagger} withdrew it on {to_text(gone.time)} "
                f"({gone.reason}).",
                "Nothing was changed. A number is not given twice: register the next one.",
            )
        near = get_close_matches(key, self.entries, 1, 0.7)
        return InputError(
            f"{key} is not registered here.{f' Did you mean {near[0]}?' if near else ''}",
            "See `facemodels registry list`; `facemodels registry sync` fetches new ones.",
        )

    def _resolve(self, text: str) -> ModelId | str:
        name, _, word = text.partition("@")
        if not word or _VERSION.match(word):
            return ModelId.parse(text)
        if (name, word) not in self.aliases:
            near = get_close_matches(text, [f"{one}@{alias}" for one, alias in self.aliases], 1)
            raise InputError(
                f"{name} has no alias {word}.{f' Did you mean {near[0]}?' if near else ''}",
                "See `facemodels registry models`.",
            )
        return self.aliases[name, word]

    def aliases_of(self, identity: str) -> list[str]:
        """The aliases of a version, sorted."""
        return sorted(word for (_, word), named in self.aliases.items() if named == identity)

    def of_model(self, model: str) -> list[Entry]:
        """Versions of a model, lowest number first."""
        found = [entry for entry in self.entries.values() if entry.model == model]
        return sorted(found, key=lambda entry: (entry.version, entry.id))

    def id_at(self, model: str, commit: str) -> str | None:
        """The version of a model that was registered at a commit."""
        return self._at.get((model, commit))

    def id_of(self, event: Event) -> str | None:
        """The id of the version that an event is about."""
        return event.name.version or self.id_at(event.name.model, event.commit)

    def id_staged(self, model: str) -> str | None:
        """The version that was put last into staging."""
        event = self.in_staging.get(model)
        return self.id_of(event) if event else None

    def last(self, model: str) -> Event | None:
        """The last event of a model."""
        return self._last.get(model)

    def last_number(self, model: str) -> int:
        """The highest number of GTO's in the tags of a model, over all stages; 0 without one."""
        return self._numbers.get(model, 0)

    def has_tag(self, tag: str) -> bool:
        """Whether an event has this tag's name."""
        return tag in self._tags

    def apply(self, event: Event) -> None:
        """Apply one more event. An event that makes no sense (a stage without a
        version) is kept in `events` and changes nothing; `audit.audit` names it.
        """
        self.events.append(event)
        name = event.name
        self._tags.add(event.tag)
        self._last[name.model] = event
        self._numbers[name.model] = max(name.counter, self.last_number(name.model))
        if name.act == "foreign":
            return
        if name.act == "register":
            entry = self.entries.setdefault(name.version, Entry(event))
            entry.events.append(event)
            self.withdrawn.pop(entry.id, None)
            if entry.facts.get("members"):
                self.systems[entry.id] = entry
            self._at.setdefault((name.model, event.commit), name.version)
            return
        if name.act == "deprecate-model":
            self.production.pop(name.model, None)
            self.rollouts.pop(name.model, None)
            self.in_staging.pop(name.model, None)
            for deprecated in self.of_model(name.model):
                deprecated.status = "deprecated"
                deprecated.events.append(event)
            return
        found = self.entries.get(self.id_of(event) or "")
        if found is not None:
            found.events.append(event)
            self._change(found, event)

    def _change(self, entry: Entry, event: Event) -> None:
        name = event.name
        if name.act == "deregister":
            self._leave(entry)
            self.archived.pop(entry.id, None)
            self.withdrawn[entry.id] = self.entries.pop(entry.id)
            self.systems.pop(entry.id, None)
            for word in self.aliases_of(entry.id):
                del self.aliases[entry.model, word]
            if self.id_at(name.model, entry.event.commit) == entry.id:
                del self._at[name.model, entry.event.commit]
        elif name.act == "assign":
            self._assign(entry, event)
        elif name.act == "unassign":
            entry.staged = entry.staged and name.stage != "staging"
            if name.stage == ROLLOUT and self._is_rolled_out(entry):
                del self.rollouts[entry.model]
            if name.stage == ARCHIVED:
                self.archived.pop(entry.id, None)
            if self.aliases.get((entry.model, name.stage)) == entry.id:
                del self.aliases[entry.model, name.stage]
            if name.stage == "staging" and self.id_staged(entry.model) == entry.id:
                del self.in_staging[entry.model]
            if name.stage == entry.status:
                self._leave_production(entry)
                entry.status = "staging" if entry.staged else "development"

    def _assign(self, entry: Entry, event: Event) -> None:
        stage = event.name.stage
        if stage == ROLLOUT and entry.status not in ("production", "deprecated"):
            self.rollouts[entry.model] = event  # GTO would let the others in, too
        if stage == ARCHIVED and entry.status != "production":
            self.archived[entry.id] = event
        if stage not in OWN_STAGES:
            self.aliases[entry.model, stage] = entry.id
        if stage not in STATUSES:
            return  # any other says nothing of the four statuses
        if stage == "production":
            before = self.entries.get(self.production.get(entry.model, ""))
            if before is not None and before is not entry:
                before.status = "staging"
            self.production[entry.model] = entry.id
            self.rollouts.pop(entry.model, None)
            entry.deployed_at = event.time
        if stage == "staging":
            entry.staged = True
            self.in_staging[entry.model] = event
        if stage == "deprecated":
            self._leave(entry)
        elif stage != "production" and entry.status == "production":
            return  # GTO lets a version be in two stages; production is the one that counts
        entry.status = stage

    def _is_rolled_out(self, entry: Entry) -> bool:
        event = self.rollouts.get(entry.model)
        return event is not None and self.id_of(event) == entry.id

    def _leave(self, entry: Entry) -> None:
        """Remove a version from every place where it serves."""
        self._leave_production(entry)
        for places in (self.rollouts, self.in_staging):
            if entry.model in places and self.id_of(places[entry.model]) == entry.id:
                del places[entry.model]

    def _leave_production(self, entry: Entry) -> None:
        if self.production.get(entry.model) == entry.id:
            del self.production[entry.model]


def order(events: Iterable[Event]) -> list[Event]:
    """Sort events by date; events of one second, which GTO can make, by GTO's counter."""
    return sorted(
        events,
        key=lambda e: (e.time, e.name.act != "register", e.name.counter, e.sequence, e.tag),
    )


def fold(events: Iterable[Event], *, until: int | None = None) -> State:
    """The state after all events, or after those up to `until` (seconds since 1970)."""
    state = State()
    for event in order(events):
        if until is None or event.time <= until:
            state.apply(event)
    return state


def production_history(state: State, model: str) -> Iterator[tuple[Event, str]]:
    """Every time a version of a model went to production, oldest first, with its id."""
    for event in state.events:
        if (event.name.act, event.name.stage, event.name.model) == ("assign", "production", model):
            identity = state.id_of(event)
            if identity:
                yield event, identity


def production_line(state: State, model: str) -> list[str]:
    """Ids of a model's versions in production, each after the one that it replaced.

    A rollback removes the versions that came later: the last id is in production, and the one
    before it is the target of the next rollback, which is never a version that was taken back.
    """
    return _line(state, model)[0]


def went_back(state: State, model: str) -> bool:
    """Whether the last change of production was a rollback."""
    return _line(state, model)[1]


def _line(state: State, model: str) -> tuple[list[str], bool]:
    line: list[str] = []
    back = False
    for event, identity in production_history(state, model):
        known = identity in line
        back = known and event.act != "promote"
        if back:
            del line[line.index(identity) + 1 :]
            continue
        if known:  # an old version was rolled out anew
            line.remove(identity)
        line.append(identity)
    return line, back

"""The audit checks that the chain of events is whole and that every tag is what it was. Pure.

Each record names the tag object before it, so a tag that is deleted, moved or rewritten
leaves the next one pointing at an object that no tag holds any more. The head, a ref of its
own, names the last event, so the end of the chain is guarded too.

What the chain alone cannot show: somebody who rewrites every event after the one he changed
and the head, or who deletes the last events and moves the head back to the one before them;
and an event that somebody appends by hand, if the rules allow it. Clones that saw the old
head refuse the first two (see `sync`), and signatures prevent all of it. In a clone
that has no head yet the last events are not guarded; a sync fetches the head.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Literal

from facemodels.errors import FacemodelsError
from facemodels.names import ModelId
from facemodels.registry import notes, rules
from facemodels.registry.events import Event, to_text
from facemodels.registry.proposals import ProposedEvent
from facemodels.registry.state import (
    ANNOTATED,
    ARCHIVED,
    ROLLOUT,
    STATUSES,
    VOUCHED,
    State,
    Status,
)

Kind = Literal[
    "deleted", "moved", "re-dated", "forged", "inserted", "rewritten", "illegal", "unsigned",
    "role", "head", "incomplete",
]  # fmt: skip

# Stages that leave a version's status as it is, and the acts of their tags.
_ASIDE = {
    ROLLOUT: {"assign": "rollout", "unassign": "withdraw"},
    ARCHIVED: {"assign": "archive", "unassign": "restore"},
    VOUCHED: {"assign": "vouch"},
    ANNOTATED: {"assign": "annotate"},
}
_ALIAS = {"assign": "alias", "unassign": "unalias"}


@dataclass(frozen=True)
class AuditFinding:
    """Something that is not as it was signed off.

    Attributes:
        kind: the kind of change, for example deleted, moved or forged.
        tag: the tag that was changed; empty for the head.
        text: the sign by which the change was noticed.
    """

    kind: Kind
    tag: str
    text: str


@dataclass(frozen=True)
class Chain:
    """The events with a record, in the order of their links.

    Attributes:
        events: the events that the links lead to, from the first to the last.
        outside: the other events with a record.
    """

    events: tuple[Event, ...]
    outside: tuple[Event, ...]


def link(events: Iterable[Event], head: str | None) -> Chain:
    """Follow the links backwards from the head, and forwards while exactly one event follows.

    Events that a plain `git fetch --tags` brought are ahead of the head that this clone knows;
    they belong to the chain as long as there is no fork.
    """
    recorded = _by_object(events)
    following: dict[str | None, list[Event]] = {}
    for event in recorded.values():
        following.setdefault(event.previous, []).append(event)
    chain = _backwards(recorded, head)
    tip = chain[-1].object if chain else None
    seen = {event.object for event in chain}
    while len(found := following.get(tip, [])) == 1 and found[0].object not in seen:
        chain.append(found[0])
        tip = found[0].object
        seen.add(tip)
    return Chain(tuple(chain), tuple(e for e in recorded.values() if e.object not in seen))


def _by_object(events: Iterable[Event]) -> dict[str, Event]:
    """Recorded events by object id; of two refs to one object, the one of the tag's own name."""
    recorded = (event for event in events if event.record is not None)
    return {e.object: e for e in sorted(recorded, key=lambda e: e.tag == e.inner_tag)}


def _backwards(recorded: Mapping[str, Event], tip: str | None) -> list[Event]:
    """The events that lead to one, oldest first, as far as the links can be followed."""
    found: dict[str, Event] = {}
    while tip is not None and tip in recorded and tip not in found:
        found[tip] = recorded[tip]
        tip = recorded[tip].previous
    return list(found.values())[::-1]


def audit(
    events: Iterable[Event], head: str | None, originals: Mapping[str, Event] | None = None
) -> list[AuditFinding]:
    """Find everything that is wrong with the tags of a registry.

    Args:
        events: all tags of models, as they are.
        head: object id of the last event, as the head's ref has it; None if it is not known.
        originals: tag objects that records or the head name and no tag holds any more, as far
            as the object database still has them, by id (`reading.read_originals`).
    """
    held = list(events)
    recorded = _by_object([*held, *(originals or {}).values()])
    trunk = _trunk(recorded, head)
    within = {event.object for event in trunk}
    # Whom the chain names is what was made; who made it, others may know better than its words.
    vouched = notes.vouched_for(trunk) & within
    findings = [finding for event in held for finding in _alone(event, event.object in vouched)]
    if head is not None and head not in recorded:
        findings.append(AuditFinding("head", "", f"it names {head[:10]}, which is no event here"))
    findings += _lost(trunk, held, recorded)
    named = {finding.tag for finding in findings}
    findings += [
        AuditFinding("inserted", event.tag, "no event of the chain follows it, nor is it the last")
        for event in held
        if event.record is not None and event.object not in within and event.tag not in named
    ]
    findings += _order(trunk)
    return list(dict.fromkeys(findings or _replay(trunk)))


def _trunk(recorded: Mapping[str, Event], head: str | None) -> list[Event]:
    """The events of the chain that are left, oldest first.

    Where no head says which event is the last, it ends at the highest number (see `_tip`);
    behind an event that is lost it goes on at the highest number below. What the lost one's
    tag holds now is known to be wrong, and so are the links of that.
    """
    chain = link(recorded.values(), head if head in recorded else _tip(recorded, recorded.values()))
    trunk, rest = list(chain.events), chain.outside
    while trunk and trunk[0].record and (lost := trunk[0].record["previous"]):
        number = trunk[0].sequence - 1
        rest = tuple(e for e in rest if e.sequence < number and e.tag != lost["tag"])
        older = _backwards({event.object: event for event in rest}, _tip(recorded, rest))
        if not older:
            break
        trunk = older + trunk
    return trunk


def _tip(recorded: Mapping[str, Event], among: Iterable[Event]) -> str | None:
    """The event with the highest number that it has alone; where two share one, nobody knows
    which of them is right. An event whose number does not follow what it names has none.
    """
    numbers: dict[int, list[str]] = {}
    for event in among:
        before = recorded.get(event.previous or "")
        follows = (
            event.sequence == 1
            if event.previous is None
            else before is None or event.sequence == before.sequence + 1
        )
        if follows:
            numbers.setdefault(event.sequence, []).append(event.object)
    alone = [number for number, objects in numbers.items() if len(objects) == 1]
    return numbers[max(alone)][0] if alone else None


def _lost(
    trunk: Iterable[Event], held: Iterable[Event], recorded: Collection[str]
) -> list[AuditFinding]:
    """Events of the chain that no tag holds."""
    tags = {event.tag: event for event in held}
    objects = {event.object for event in tags.values()}
    findings = []
    number = 0  # of the event before
    for event in trunk:
        before = event.record["previous"] if event.record else None
        if before is not None and before["object"] not in recorded:
            more = event.sequence - number - 2
            findings.append(_name_lost(before["object"], before["tag"], tags, None, max(more, 0)))
        if event.object not in objects:
            findings.append(_name_lost(event.object, event.tag, tags, event))
        number = event.sequence
    return findings


def _name_lost(
    wanted: str, tag: str, tags: Mapping[str, Event], original: Event | None, more: int = 0
) -> AuditFinding:
    """Say whether a lost event's tag was deleted, or what the tag holds now.

    Args:
        wanted: object id.
        tag: name.
        tags: events that are here, by name.
        original: the event itself, if the object database still has it.
        more: events before it whose names were lost with it.
    """
    before = f"; {more} before it are gone without a name" if more else ""
    now = tags.get(tag)
    if now is None:
        text = f"the chain names it ({wanted[:10]}); no such tag is here{before}"
        return AuditFinding("deleted", tag, text)
    if original is None:
        return AuditFinding(
            "rewritten", tag, f"it was {wanted[:10]}, it is {now.object[:10]}{before}"
        )
    if now.commit != original.commit:
        text = f"pointed to {original.commit[:10]}, points to {now.commit[:10]}"
        return AuditFinding("moved", tag, text)
    if now.time != original.time:
        text = f"was of {to_text(original.time)}, is of {to_text(now.time)}"
        return AuditFinding("re-dated", tag, text)
    return AuditFinding("forged", tag, "its message or its tagger is not what it was")


def _alone(event: Event, vouched: bool) -> list[AuditFinding]:
    """The findings that one tag shows without the others."""
    record = event.record
    if not event.inner_tag:
        text = "a lightweight tag; nobody answers for it (made by a checkout? `registry repair`)"
        return [AuditFinding("inserted", event.tag, text)]
    if record is None:
        return [
            AuditFinding(
                "inserted", event.tag, f"made outside the registry by {event.tagger}: no record"
            )
        ]
    found = []
    other = next((name for name in (event.inner_tag, record["tag"]) if name != event.tag), "")
    if other:
        found.append(AuditFinding("moved", event.tag, f"the ref holds {other}, another event"))
    elif not _speaks_of_itself(event):
        found.append(
            AuditFinding("forged", event.tag, "the record speaks of another act or version")
        )
    if event.commit != record["commit"]:
        text = f"points to {event.commit[:10]}, its record says {record['commit'][:10]}"
        found.append(AuditFinding("moved", event.tag, text))
    if to_text(event.time) != record["time"]:
        text = f"dated {to_text(event.time)}, its record says {record['time']}"
        found.append(AuditFinding("re-dated", event.tag, text))
    if event.tagger != record["actor"] and not vouched:
        text = f"tagged by {event.tagger}, its record says {record['actor']}"
        found.append(AuditFinding("forged", event.tag, text))
    return found


def _speaks_of_itself(event: Event) -> bool:
    """Whether the record's words agree with the tag's name."""
    assert event.record is not None  # noqa: S101  (the caller's branch)
    record, name = event.record, event.name
    if name.act in ("register", "deregister"):
        told = (record["act"], record["model_id"], record["status"])
        return told == (name.act, name.version, "development")
    try:
        if str(ModelId.parse(record["model_id"]).name) != name.model:
            return False
    except FacemodelsError:
        return False
    if name.stage not in STATUSES:
        return bool(_ASIDE.get(name.stage, _ALIAS).get(name.act) == record["act"])
    if (name.act, name.stage, record["act"]) == ("assign", "staging", "place"):
        return record["status"] in ("staging", "production")  # it leaves the status as it is
    moved = name.act == "assign" and record["status"] == name.stage
    return bool(moved) and record["act"] in ("promote", "rollback", "deprecate")


def _order(trunk: list[Event]) -> list[AuditFinding]:
    """Find links along which the date or the number does not rise, starting from number 1."""
    findings = [
        AuditFinding(
            "forged", first.tag, f"number {first.sequence}, and it names no event before it"
        )
        for first in trunk[:1]
        if first.previous is None and first.sequence != 1
    ]
    for before, event in pairwise(trunk):
        if event.previous != before.object:
            continue  # what was between them is lost
        if event.time <= before.time:
            text = f"of {to_text(event.time)}, though it follows {before.tag}"
            findings.append(AuditFinding("re-dated", event.tag, text))
        if event.sequence != before.sequence + 1:
            text = f"number {event.sequence} follows number {before.sequence}"
            findings.append(AuditFinding("forged", event.tag, text))
    return findings


def _replay(trunk: list[Event]) -> list[AuditFinding]:
    """Replay the events and find those that the rules would have refused."""
    state = State()
    findings = []
    for event in trunk:
        assert event.record is not None  # noqa: S101  (the trunk holds recorded events alone)
        record = event.record
        try:
            change = _plan(state, event)
        except FacemodelsError as error:
            findings.append(AuditFinding("illegal", event.tag, str(error)))
        else:
            told = (record["act"], event.tag, event.commit, record["status"])
            if (change.act, change.tag, change.commit, change.status) != told:
                text = f"the rules make it {change.act} {change.tag} at {change.commit[:10]}"
                text += f", and the version's status {change.status}"
                findings.append(AuditFinding("illegal", event.tag, text))
        state.apply(event)
    return findings


def _plan(state: State, event: Event) -> ProposedEvent:
    record = event.record or {}
    model = ModelId.parse(record["model_id"])
    reason = record["reason"]
    if record["act"] == "register":
        facts = record.get("entry", {})
        return rules.register(
            state, model, event.commit, reason=reason, evidence=record["evidence"], entry=facts
        )
    if record["act"] == "archive":
        facts = record.get("archive")
        return rules.archive(state, model, facts if isinstance(facts, dict) else {}, reason=reason)
    plain: dict[str, Callable[..., ProposedEvent]] = {
        "withdraw": rules.withdraw, "place": rules.place, "restore": rules.restore,
        "deregister": notes.deregister,
        "deprecate": partial(rules.deprecate, retire=bool(record.get("retire"))),
        "vouch": partial(notes.vouch_again, event),
        "annotate": partial(notes.annotate_again, event),
        "alias": partial(notes.alias, word=event.name.stage),
        "unalias": partial(notes.unalias, word=event.name.stage),
    }  # fmt: skip
    if record["act"] in plain:
        return plain[record["act"]](state, model, reason=reason)
    plan, emergency = str(record.get("re_enrolment", "")), bool(record.get("emergency"))
    if record["act"] == "rollout":
        terms = record.get("rollout")
        return rules.roll_out(
            state, model, terms if isinstance(terms, dict) else {},
            reason=reason, re_enrolment=plan, emergency=emergency,
        )  # fmt: skip
    status: Status = record["status"]
    return rules.move(
        state, model, status, reason=reason, re_enrolment=plan, emergency=emergency,
        back=record["act"] == "rollback",  # what it was, where the rules allow either
    )  # fmt: skip

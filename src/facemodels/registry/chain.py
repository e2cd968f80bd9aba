"""The audit: is the chain of events whole, and is every tag what it was? Pure.

Each record names the tag object before it, so a tag that is deleted, moved or rewritten
leaves the next one pointing at an object that no tag holds any more. The head, a ref of its
own, names the last event, so the end of the chain is guarded too. What the chain alone cannot
show: somebody who rewrites every event after the one he changed, and the head. Clones that
saw the old head refuse that (`repository.sync`), and signatures prevent it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from facemodels.errors import FacemodelsError
from facemodels.names import ModelId
from facemodels.registry import rules
from facemodels.registry.events import Event, to_text
from facemodels.registry.state import State, Status

Kind = Literal[
    "deleted", "moved", "re-dated", "forged", "inserted", "rewritten", "illegal", "unsigned",
    "role", "head",
]  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """Something that is not as it was signed off.

    Attributes:
        kind: what was done.
        tag: the tag it was done to.
        text: how it shows.
    """

    kind: Kind
    tag: str
    text: str


@dataclass(frozen=True)
class Chain:
    """The recorded events as they are linked.

    Attributes:
        events: from the first to the last that can be reached.
        outside: recorded events that are not among them.
    """

    events: tuple[Event, ...]
    outside: tuple[Event, ...]


def link(events: Iterable[Event], head: str | None) -> Chain:
    """Follow the links backwards from the head, and forwards where exactly one event follows it.

    Events that a plain `git fetch --tags` brought are ahead of the head that this clone knows;
    they belong to the chain as long as there is no fork.
    """
    recorded = [event for event in events if event.record is not None]
    objects = {event.object: event for event in recorded}
    following: dict[str | None, list[Event]] = {}
    for event in recorded:
        following.setdefault(event.previous, []).append(event)
    backwards: list[Event] = []
    seen: set[str] = set()
    current = objects.get(head or "")
    while current is not None and current.object not in seen:
        seen.add(current.object)
        backwards.append(current)
        current = objects.get(current.previous or "")
    chain = backwards[::-1]
    tip = chain[-1].object if chain else None
    while len(found := following.get(tip, [])) == 1 and found[0].object not in seen:
        chain.append(found[0])
        tip = found[0].object
        seen.add(tip)
    return Chain(tuple(chain), tuple(e for e in recorded if e.object not in seen))


def audit(
    events: Iterable[Event], head: str | None, originals: Mapping[str, Event] | None = None
) -> list[Finding]:
    """Everything that is wrong with the tags of a registry.

    Args:
        events: all tags of models, as they are.
        head: object id of the last event, as the head's ref has it; None if it is not known.
        originals: tag objects that records or the head name and no tag holds any more, as far
            as the object database still has them, by id.
    """
    everything = list(events)
    known = originals or {}
    chain = link(everything, head)
    tags = {event.tag: event for event in everything}
    findings = [finding for event in everything for finding in _alone(event)]
    lost = [] if _is_whole(chain, head) else _lost(everything, head, known)
    findings += [_name_lost(wanted, tag, tags, known) for wanted, tag in lost]
    named = {finding.tag for finding in findings}
    findings += [
        Finding("inserted", event.tag, "its record is linked to no event of the chain")
        for event in _inserted(chain, cut={wanted for wanted, _ in lost})
        if event.tag not in named
    ]
    findings += _order(chain.events)
    return list(dict.fromkeys(findings or _replay(chain.events)))


def _is_whole(chain: Chain, head: str | None) -> bool:
    """Whether the chain goes from the first event to the head, whatever else there is."""
    reached = {event.object for event in chain.events}
    starts = not chain.events or chain.events[0].previous is None
    return starts and (head in reached if head is not None else not chain.outside)


def _inserted(chain: Chain, cut: set[str]) -> list[Event]:
    """Events that nobody of the chain leads to and that no loss has cut off from it.

    Args:
        chain: the events as linked.
        cut: object ids that are named and lost; what follows them, and what came before the
            first event that is left of the chain, is only cut off.
    """
    within = {event.object for event in chain.events}
    outside = {event.object for event in chain.outside}
    first_is_left = bool(chain.events) and chain.events[0].previous is None
    siblings: dict[str | None, int] = {}
    for event in chain.outside:
        siblings[event.previous] = siblings.get(event.previous, 0) + 1
    found: list[Event] = []
    bad: set[str] = set()
    for event in sorted(chain.outside, key=lambda e: (e.sequence, e.tag)):
        before = event.previous
        forked = siblings[before] > 1 or before in within or before in bad
        foreign = before is None and (first_is_left or not cut)
        present = before is None or before in cut or before in outside
        if forked or foreign or not present:
            bad.add(event.object)
            found.append(event)
    return found


def _alone(event: Event) -> list[Finding]:
    """What one tag shows by itself."""
    record = event.record
    if not event.inner_tag:
        return [Finding("inserted", event.tag, "a lightweight tag; nobody answers for it")]
    if record is None:
        return [
            Finding(
                "inserted", event.tag, f"made outside the registry by {event.tagger}: no record"
            )
        ]
    found = []
    if event.tag != event.inner_tag or event.tag != record["tag"]:
        found.append(
            Finding("moved", event.tag, f"the ref holds the tag {event.inner_tag} of another event")
        )
    if event.commit != record["commit"]:
        text = f"points to {event.commit[:10]}, its record says {record['commit'][:10]}"
        found.append(Finding("moved", event.tag, text))
    if to_text(event.time) != record["time"]:
        text = f"dated {to_text(event.time)}, its record says {record['time']}"
        found.append(Finding("re-dated", event.tag, text))
    if event.tagger != record["actor"]:
        text = f"tagged by {event.tagger}, its record says {record['actor']}"
        found.append(Finding("forged", event.tag, text))
    if not _speaks_of_itself(event):
        found.append(Finding("forged", event.tag, "the record speaks of another act or version"))
    return found


def _speaks_of_itself(event: Event) -> bool:
    """Whether the record's words agree with the tag's name."""
    assert event.record is not None  # noqa: S101  (the caller's branch)
    record, name = event.record, event.name
    if name.act == "register":
        return (record["act"], record["status"], record["model_id"]) == (
            "register", "development", name.version,
        )  # fmt: skip
    if name.act != "assign" or record["status"] != name.stage:
        return False
    try:
        same = str(ModelId.parse(record["model_id"]).name) == name.model
    except FacemodelsError:
        return False
    return same and record["act"] in ("promote", "rollback", "deprecate")


def _lost(
    events: list[Event], head: str | None, originals: Mapping[str, Event]
) -> list[tuple[str, str]]:
    """(object id, tag name) of events that are named and that no tag holds."""
    present = {event.object for event in events}
    wanted: dict[str, str] = {}
    if head is not None and head not in present:
        wanted[head] = originals[head].tag if head in originals else ""
    for event in (*events, *originals.values()):
        before = event.record["previous"] if event.record else None
        if before is not None and before["object"] not in present:
            wanted[before["object"]] = before["tag"]
    return sorted(wanted.items(), key=lambda pair: pair[1])


def _name_lost(
    wanted: str, tag: str, tags: Mapping[str, Event], originals: Mapping[str, Event]
) -> Finding:
    """Was it deleted, or does the tag hold something else now, and what?"""
    original = originals.get(wanted)
    if not tag:
        return Finding("head", "", f"the head names {wanted[:10]}, an event that is nowhere")
    now = tags.get(tag)
    if now is None:
        return Finding("deleted", tag, f"the chain names it ({wanted[:10]}); no such tag is here")
    if original is None:
        text = f"it was {wanted[:10]}, it is {now.object[:10]}"
        return Finding("rewritten", tag, text)
    if now.commit != original.commit:
        text = f"pointed to {original.commit[:10]}, points to {now.commit[:10]}"
        return Finding("moved", tag, text)
    if now.time != original.time:
        text = f"was of {to_text(original.time)}, is of {to_text(now.time)}"
        return Finding("re-dated", tag, text)
    return Finding("forged", tag, "its message or its tagger is not what it was")


def _order(chain: tuple[Event, ...]) -> list[Finding]:
    """Dates and numbers go up along the chain, and it starts at the first event."""
    findings = []
    for before, event in pairwise(chain):
        if event.time <= before.time:
            text = f"of {to_text(event.time)}, though it follows {before.tag}"
            findings.append(Finding("re-dated", event.tag, text))
        if event.sequence != before.sequence + 1:
            text = f"number {event.sequence} follows number {before.sequence}"
            findings.append(Finding("forged", event.tag, text))
    return findings


def _replay(chain: tuple[Event, ...]) -> list[Finding]:
    """Would the rules have let every event happen?"""
    state = State()
    findings = []
    for event in chain:
        assert event.record is not None  # noqa: S101  (a chain holds recorded events alone)
        record = event.record
        try:
            change = _plan(state, event)
        except FacemodelsError as error:
            findings.append(Finding("illegal", event.tag, str(error)))
        else:
            told = (record["act"], event.tag, event.commit)
            if (change.act, change.tag, change.commit) != told:
                text = f"the rules make it {change.act} {change.tag} at {change.commit[:10]}"
                findings.append(Finding("illegal", event.tag, text))
        state.apply(event)
    return findings


def _plan(state: State, event: Event) -> rules.Change:
    record = event.record or {}
    model = ModelId.parse(record["model_id"])
    reason = record["reason"]
    if record["act"] == "register":
        facts = record.get("entry", {})
        return rules.register(
            state, model, event.commit, reason=reason, evidence=record["evidence"], entry=facts
        )
    if record["act"] == "deprecate":
        return rules.deprecate(state, model, reason=reason, retire=bool(record.get("retire")))
    status: Status = record["status"]
    plan = str(record.get("re_enrolment", ""))
    return rules.move(state, model, status, reason=reason, re_enrolment=plan)

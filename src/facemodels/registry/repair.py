"""Mends what a checkout or a fetch did to the tags of a clone, from objects that are proven.

An object that the head or a record names is what was signed off. Where it is in this clone, its tag
can be made again; where a tag of the remote is whole, it can be fetched again. What differs in any
other way is left alone: the audit names it, and people decide.
"""

from __future__ import annotations

from dataclasses import dataclass

from facemodels.errors import IntegrityError
from facemodels.registry import audit, notes, reading, sync
from facemodels.registry.events import Event
from facemodels.registry.tag_store import TagStore


@dataclass(frozen=True)
class RepairedTag:
    """A tag that was mended, or would be.

    Attributes:
        tag: its name.
        what: what was wrong, and what was done.
    """

    tag: str
    what: str


def repair(store: TagStore, *, dry_run: bool = False) -> list[RepairedTag]:
    """Give back tags that were deleted, moved or made lightweight in this clone.

    Args:
        store: the tag store of the clone.
        dry_run: change nothing.

    Raises:
        ToolError: there is no remote, or it cannot be reached.
    """
    done = _restore(store, dry_run=dry_run)
    remote = store.remote()
    if remote is None:
        return done
    theirs = sync.remote_refs(store.git, remote.place, peeled=True)
    ours = reading.read_objects(store.git)
    moved = {
        event.tag: event.object
        for event in _chain(store)
        if event.tag in ours and event.object == theirs.get(event.tag) != ours[event.tag]
    }
    if moved and not dry_run:
        store.restore_tags(moved)
        ours |= moved
    done += [RepairedTag(tag, f"was moved here; the chain and {remote} agree") for tag in moved]
    light = {
        tag: oid
        for tag, oid in theirs.items()
        if tag in ours.keys() - moved and oid != ours[tag] == theirs.get(f"{tag}^{{}}")
    }
    if light and not dry_run:
        store.fetch(remote.place, light, force=True)
    done += [RepairedTag(tag, f"was lightweight here; fetched from {remote}") for tag in light]
    missing = [tag for tag in theirs if tag != reading.HEAD and tag not in ours and "^" not in tag]
    if missing and not dry_run:
        store.fetch(remote.place, {tag: theirs[tag] for tag in missing})
    return done + [RepairedTag(tag, f"was not here; fetched from {remote}") for tag in missing]


def _chain(store: TagStore) -> tuple[Event, ...]:
    """The events of the chain, with those whose object alone is left."""
    head, events = reading.read_chain(store.git)
    originals = reading.read_originals(store.git, events, head)
    return audit.link([*events, *originals.values()], head).events


def _restore(store: TagStore, *, dry_run: bool) -> list[RepairedTag]:
    here = {event.tag: event for event in reading.read_events(store.git)}
    wanted: dict[str, str] = {}
    done = []
    for event in _chain(store):
        now = here.get(event.tag)
        if now is None:
            what = "was deleted here; its object was not"
        elif not now.inner_tag and now.object == event.commit:
            what = "was lightweight here; the object that the chain names was not"
        else:
            continue
        wanted[event.tag] = event.object
        done.append(RepairedTag(event.tag, what))
    if wanted and not dry_run:
        store.restore_tags(wanted)
    return done


def unvouched(store: TagStore) -> list[Event]:
    """The events of the chain that are intact but for who made them, and nobody vouches for.

    Raises:
        IntegrityError: the audit finds more than that.
    """
    head, events = reading.read_chain(store.git)
    known = {event.object for event in audit.link(events, head).events}
    vouched = notes.vouched_for(events)
    findings = audit.audit(events, head, reading.read_originals(store.git, events, head))
    named = {finding.tag for finding in findings if finding.kind == "forged"}
    found = [
        event
        for event in events
        if event.tag in named and event.object in known and event.object not in vouched
        and event.record is not None and event.tagger != event.record["actor"]
    ]  # fmt: skip
    others = {finding.tag for finding in findings} - {event.tag for event in found}
    if others:
        raise IntegrityError(
            "the audit finds more than makers that differ",
            "See `facemodels registry audit`; nothing was vouched for.",
            changed=tuple(sorted(others)),
        )
    return found

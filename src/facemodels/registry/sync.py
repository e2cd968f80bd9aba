"""Following the remote: fetch the events that others made, and notice what was rewritten.

A remote may have more events than this clone, never fewer or other ones. Everything that is
written here goes through the tag store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Protocol

from facemodels.errors import IntegrityError
from facemodels.git import Git
from facemodels.registry import audit, reading
from facemodels.registry.events import Event


class RefWriter(Protocol):
    """What following a remote needs of the tag store."""

    git: Git

    def fetch(self, remote: str, tags: Mapping[str, str]) -> None:
        """Fetch tags, by name and object id."""

    def publish(self, remote: str, theirs: str | None, missing: Sequence[Event], to: str) -> None:
        """Send events to a remote and move its head from `theirs` to the object `to`."""

    def move_head(self, to: str, head: str | None) -> None:
        """Move the head of this clone."""


def follow(store: RefWriter, remote: str, *, publish: bool = False) -> int:
    """Fetch the events of a remote and move this clone's head to the remote's.

    Args:
        store: the tag store of the clone.
        remote: the name of the remote.
        publish: whether events that are here and not on the remote are sent.

    Returns:
        How many tags came.

    Raises:
        IntegrityError: the remote has lost, moved or rewritten an event that is known here.
        ToolError: the remote cannot be reached.
    """
    try:
        return _follow(store, remote, publish=publish)
    except IntegrityError:
        # A server shows the refs of a push one after the other; a second look sees them all.
        return _follow(store, remote, publish=publish)


def remote_refs(git: Git, remote: str) -> dict[str, str]:
    """Object ids by tag name (of events alone) on a remote, and of its head.

    Raises:
        ToolError: the remote cannot be reached.
    """
    listed = git.text("ls-remote", remote, *reading.patterns(), reading.HEAD)
    refs = {}
    for line in listed.splitlines():
        oid, ref = line.split("\t")
        if ref == reading.HEAD:
            refs[ref] = oid
        elif not ref.endswith("^{}") and reading.is_event(ref.removeprefix("refs/tags/")):
            refs[ref.removeprefix("refs/tags/")] = oid
    return refs


def catch_up(store: RefWriter) -> None:
    """Move the head over events that a plain `git fetch` left ahead of it.

    Raises:
        IntegrityError: the event that the head names has no tag any more.
    """
    head = reading.read_head(store.git)
    events = reading.read_events(store.git)
    event_at(store.git, head, events)
    known = audit.link(events, head).events
    if known and known[-1].object != head:
        store.move_head(known[-1].object, head)


def event_at(git: Git, head: str | None, events: Sequence[Event]) -> Event | None:
    """The event that the head names; None if there is no head.

    Raises:
        IntegrityError: its tag is gone.
    """
    if head is None:
        return None
    found = next((event for event in events if event.object == head), None)
    if found is None:
        original = reading.read_original(git, head)
        raise IntegrityError(
            f"the last event that this clone knew ({head[:10]}) has no tag any more",
            "Find out who deleted it; `facemodels registry audit` says what else is wrong.",
            missing=(original.tag,) if original else (),
        )
    return found


def _follow(store: RefWriter, remote: str, *, publish: bool) -> int:
    # Ours first: what is here by now was there before, and is there unless it was lost. What
    # another process of this clone adds from now on is not missed on the remote.
    head, ours = reading.read_head(store.git), reading.read_objects(store.git)
    theirs = remote_refs(store.git, remote)
    moved = sorted(tag for tag in ours.keys() & theirs.keys() if ours[tag] != theirs[tag])
    if moved:
        raise IntegrityError(
            f"tags on {remote} are not what they were when they were fetched",
            "Somebody rewrote them. Find out who; push the right ones back with "
            "`git push --force` from a clone whose `facemodels registry audit` is clean.",
            changed=tuple(moved),
        )
    new = sorted(theirs.keys() - ours.keys() - {reading.HEAD})
    if new:
        store.fetch(remote, {tag: theirs[tag] for tag in new})
    _advance(store, remote, head, theirs, ours.keys() | theirs.keys(), publish=publish)
    return len(new)


def _advance(
    store: RefWriter,
    remote: str,
    ours: str | None,
    refs: Mapping[str, str],
    seen: Set[str],
    *,
    publish: bool,
) -> None:
    """Move our head to the remote's, if it continues what was seen here."""
    theirs = refs.get(reading.HEAD)
    events = [event for event in reading.read_events(store.git) if event.tag in seen]
    known = audit.link(events, ours or theirs).events
    missing = [event for event in known if event.tag not in refs]
    if theirs is not None and theirs != ours:
        _require_continuation(remote, ours, theirs, events, known, missing)
    ahead = bool(known) and known[-1].object != theirs and _is_behind(events, theirs, known[-1])
    if (missing or ahead) and publish:
        store.publish(remote, theirs, missing, known[-1].object)
        store.move_head(known[-1].object, ours)
    elif missing or ahead:
        raise IntegrityError(
            f"{remote} lacks events that are known here, or its head is behind them",
            "If somebody deleted them, or they were made before there was a remote: "
            "`facemodels registry sync --publish` sends them.",
            missing=tuple(event.tag for event in missing),
        )
    elif theirs is not None and _place(events, theirs) > _place(events, ours):
        store.move_head(theirs, ours)


def _require_continuation(
    remote: str,
    ours: str | None,
    theirs: str,
    events: Sequence[Event],
    known: Sequence[Event],
    missing: Sequence[Event],
) -> None:
    """Stop where the remote's history is not ours and more.

    Raises:
        IntegrityError: somebody rewrote it.
    """
    continued = audit.link(events, theirs).events
    names = {event.object for event in continued}
    if theirs not in names or (ours is not None and ours not in names):
        raise IntegrityError(
            f"the history on {remote} does not continue the one that is known here",
            "Somebody rewrote it, or two clones worked without a common remote. "
            "`facemodels registry audit` says what differs.",
            extra=tuple(event.tag for event in continued if event not in known),
            missing=tuple(event.tag for event in missing),
        )


def _is_behind(events: Sequence[Event], head: str | None, last: Event) -> bool:
    return _place(events, last.object) > _place(events, head)


def _place(events: Sequence[Event], head: str | None) -> int:
    """The place of a head in the chain, from 1; 0 for no head."""
    return next((event.sequence for event in events if event.object == head), 0)

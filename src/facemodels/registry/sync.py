"""Following the remote: fetch the events that others made, and notice what was rewritten.

A remote may have more events than this clone, never fewer or other ones. Everything that is
written here goes through the tag store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from facemodels.errors import IntegrityError, ToolError
from facemodels.git import Git, GitError
from facemodels.registry import audit, reading
from facemodels.registry.events import Event
from facemodels.registry.remote import RegistryRemote


class RefWriter(Protocol):
    """What following a remote needs of the tag store."""

    git: Git

    def fetch(self, place: str, tags: Mapping[str, str]) -> None:
        """Fetch tags, by name and object id."""

    def publish(self, place: str, theirs: str | None, missing: Sequence[Event], to: str) -> None:
        """Send events to a remote and move its head from `theirs` to the object `to`."""

    def move_head(self, to: str, head: str | None) -> None:
        """Move the head of this clone."""


@dataclass(frozen=True)
class SyncedEvents:
    """What a sync found.

    Attributes:
        new: how many tags came.
        head: the object id that the head of the clone names after it; None if there is no head.
        events: all events of the clone after it, of the head's time or later.
    """

    new: int
    head: str | None
    events: Sequence[Event]


def follow(store: RefWriter, remote: RegistryRemote, *, publish: bool = False) -> SyncedEvents:
    """Fetch the events of a remote and move this clone's head to the remote's.

    Args:
        store: the tag store of the clone.
        remote: the remote.
        publish: whether events that are here and not on the remote are sent.

    Raises:
        IntegrityError: the remote has lost, moved or rewritten an event that is known here.
        ToolError: the remote cannot be reached.
    """
    try:
        return _follow(store, remote, publish=publish)
    except IntegrityError:
        # A server shows the refs of a push one after the other; a second look sees them all.
        return _follow(store, remote, publish=publish)


def send_copies(store: RefWriter, remote: RegistryRemote) -> None:
    """Send the chain to the further push URLs of a remote.

    Raises:
        ToolError: one of them did not take it; the remote itself has the events.
    """
    if not remote.copies:
        return
    head, events = reading.read_chain(store.git)
    known = audit.link(events, head).events
    for url in remote.copies:
        try:
            theirs = remote_refs(store.git, url)
            missing = [event for event in known if event.tag not in theirs]
            if known and (missing or theirs.get(reading.HEAD) != head):
                store.publish(url, theirs.get(reading.HEAD), missing, known[-1].object)
        except GitError as error:
            raise ToolError(
                f"{remote.place} has the event, and the other push URL of {remote}, {url}, has "
                f"not: {error.stderr}",
                "`facemodels registry sync --publish` sends it once that place takes it; "
                f"`git remote set-url --delete --push {remote} {url}` gives the place up.",
            ) from error


def remote_refs(git: Git, place: str, *, peeled: bool = False) -> dict[str, str]:
    """Object ids by tag name (of events alone) on a remote, and of its head.

    Args:
        git: runs commands in the clone.
        place: the name of the remote, or its URL.
        peeled: whether commits are listed too, that annotated tags point to, as `<tag>^{}`.

    Raises:
        GitError: the remote cannot be reached.
    """
    listed = git.text("ls-remote", place, *reading.patterns(), reading.HEAD)
    refs = {}
    for line in listed.splitlines():
        oid, ref = line.split("\t")
        if ref == reading.HEAD:
            refs[ref] = oid
        elif ref.endswith("^{}") <= peeled:
            tag = ref.removeprefix("refs/tags/")
            if reading.is_event(tag.removesuffix("^{}")):
                refs[tag] = oid
    return refs


def catch_up(store: RefWriter) -> SyncedEvents:
    """Move the head over events that a plain `git fetch` left ahead of it.

    Raises:
        IntegrityError: the event that the head names has no tag any more.
    """
    head, events = reading.read_chain(store.git)
    event_at(store.git, head, events)
    known = audit.link(events, head).events
    if known and known[-1].object != head:
        store.move_head(known[-1].object, head)
        head = known[-1].object
    return SyncedEvents(0, head, events)


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
            f"the last event that this clone knew ({head[:10]}) has no tag any more; "
            "fetch.pruneTags in Git's configuration, for one, deletes tags that the remote has not",
            "`facemodels registry repair` gives it back; `facemodels registry audit` says what "
            "else is wrong.",
            missing=(original.tag,) if original else (),
        )
    return found


def _follow(store: RefWriter, remote: RegistryRemote, *, publish: bool) -> SyncedEvents:
    # Ours first: what is here by now was there before, and is there unless it was lost. What
    # another process of this clone adds from now on is not missed on the remote.
    head, present = reading.read_chain(store.git)
    ours = {event.tag: event.object for event in present}
    place, listed = _ask(store.git, remote, publish=publish)
    theirs = {name: oid for name, oid in listed.items() if not name.endswith("^{}")}
    moved = sorted(tag for tag in ours.keys() & theirs.keys() if ours[tag] != theirs[tag])
    light = tuple(tag for tag in moved if ours[tag] == listed.get(f"{tag}^{{}}"))
    if light and len(light) == len(moved):
        raise IntegrityError(
            f"tags that are annotated on {remote} are lightweight ones here, as a checkout action "
            "that was started by a tag makes them",
            "`facemodels registry repair` fetches them as they are.",
            changed=light,
        )
    if moved and (ours_alone := _moved_here(store.git, moved, theirs, head)):
        raise IntegrityError(
            f"tags of this clone were moved; {remote} has what the chain names",
            "`facemodels registry repair` gives them back.",
            changed=ours_alone,
        )
    if moved:
        raise IntegrityError(
            f"tags on {remote} are not what they were when they were fetched",
            "Somebody rewrote them. Find out who; push the right ones back with "
            "`git push --force` from a clone whose `facemodels registry audit` is clean.",
            changed=tuple(moved),
        )
    new = sorted(theirs.keys() - ours.keys() - {reading.HEAD})
    if new:
        store.fetch(place, {tag: theirs[tag] for tag in new})
    seen = ours.keys() | theirs.keys()
    read = reading.read_events(store.git) if new else present
    events = [event for event in read if event.tag in seen]
    whole = place == remote.place
    head = _advance(store, remote, head, theirs, events, publish=publish, whole=whole)
    if publish:
        send_copies(store, remote)
    return SyncedEvents(len(new), head, read)


def _moved_here(
    git: Git, moved: Sequence[str], theirs: Mapping[str, str], head: str | None
) -> tuple[str, ...]:
    """The tags that differ from the remote's, if the chain of this clone names all of the remote's.

    Then this clone's were moved, by `git tag --force` or a fetch from elsewhere.
    """
    events = reading.read_events(git)
    originals = reading.read_originals(git, events, head)
    chain = audit.link([*events, *originals.values()], head).events
    named = {event.tag: event.object for event in chain}
    return tuple(moved) if all(named.get(tag) == theirs[tag] for tag in moved) else ()


def _ask(git: Git, remote: RegistryRemote, *, publish: bool) -> tuple[str, dict[str, str]]:
    """The place that answers, and its refs: for a reader who may not push, the mirror will do."""
    try:
        return remote.place, remote_refs(git, remote.place, peeled=True)
    except GitError:
        if publish or not remote.mirror:
            raise
        return remote.mirror, remote_refs(git, remote.mirror, peeled=True)


def _advance(
    store: RefWriter,
    remote: RegistryRemote,
    ours: str | None,
    refs: Mapping[str, str],
    events: Sequence[Event],
    *,
    publish: bool,
    whole: bool,
) -> str | None:
    """Move our head to the remote's, if it continues what was seen here, and return it.

    `whole` says whether the refs are the deciding place's; a mirror may be behind it.
    """
    theirs = refs.get(reading.HEAD)
    known = audit.link(events, ours or theirs).events
    missing = [event for event in known if event.tag not in refs]
    if theirs is not None and theirs != ours and (whole or not missing):
        event_at(store.git, ours, events)
        _require_continuation(remote, ours, theirs, events, known, missing)
    ahead = bool(known) and known[-1].object != theirs and _is_behind(events, theirs, known[-1])
    if (missing or ahead) and publish:
        store.publish(remote.place, theirs, missing, known[-1].object)
        store.move_head(known[-1].object, ours)
        return known[-1].object
    if (missing or ahead) and whole:
        raise _lacking(remote, theirs, missing)
    if theirs is not None and _place(events, theirs) > _place(events, ours):
        store.move_head(theirs, ours)
        return theirs
    return ours


def _lacking(
    remote: RegistryRemote, theirs: str | None, missing: Sequence[Event]
) -> IntegrityError:
    """Why the deciding place has not all that is known here, and what to do about it."""
    sends = "`facemodels registry sync --publish` sends"
    if remote.mirror:
        return IntegrityError(
            f"{remote} pushes to {remote.place}, which lacks events that {remote.mirror}, from "
            "which it fetches, or this clone has",
            "If that is the wrong place: git remote set-url --push "
            f"{remote.name} {remote.mirror} (see pushInsteadOf too). If it is right, {sends} them.",
            missing=tuple(event.tag for event in missing),
        )
    if theirs is None and not missing:
        return IntegrityError(
            f"{remote} has every event and shows no {reading.HEAD}, the head of their chain",
            "If the host hides it (`transfer.hideRefs`, or a rule for other refs than branches and "
            f"tags), whoever keeps the host has to show it; if somebody deleted it, {sends} it.",
        )
    return IntegrityError(
        f"{remote} lacks events that are known here, or its head is behind them",
        f"If somebody deleted them, or they were made before there was a remote: {sends} them.",
        missing=tuple(event.tag for event in missing),
    )


def _require_continuation(
    remote: RegistryRemote,
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

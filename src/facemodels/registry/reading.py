"""Reads events from Git with one `git for-each-ref`, however many tags there are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from facemodels.git import Git, GitError
from facemodels.names import ModelName
from facemodels.registry import tag_names
from facemodels.registry.events import Event, read_record

HEAD = "refs/facemodels/head"
_FIELDS = (
    "%(refname)", "%(objectname)", "%(*objectname)", "%(tag)", "%(taggername)",
    "%(taggeremail)", "%(taggerdate:unix)", "%(contents)",
)  # fmt: skip
_TAGGER = re.compile(r"(?P<who>.*) (?P<seconds>[0-9]{1,19}) [+-][0-9]{4}")
_FORMAT = "%00".join(_FIELDS) + "%00"


def patterns(models: Iterable[str] = (), *, systems: bool = False) -> list[str]:
    """Ref patterns of the events of some models, or of all; with those of all systems if asked."""
    names = [str(ModelName.parse(model)) for model in models] or ["*"]
    if systems and names != ["*"]:
        names.append("system-*")
    return [f"refs/tags/{name}{mark}*" for name in names for mark in "@#"]


def is_event(tag: str) -> bool:
    """Whether a tag is an event of the registry."""
    return tag_names.parse(tag) is not None


def read_events(git: Git, models: Iterable[str] = (), *, systems: bool = False) -> list[Event]:
    """Read every event, or those of the named models and perhaps all systems, by tag name.

    Raises:
        GitError: git failed.
    """
    return list(_events(_fields(git, *patterns(models, systems=systems))))


def read_chain(git: Git) -> tuple[str | None, list[Event]]:
    """Read the head and every event, by tag name, with one command.

    Git looks at refs in the order of their names, at the head first: the events are of its time
    or later, never earlier.

    Raises:
        GitError: git failed.
    """
    fields = _fields(git, HEAD, *patterns())
    head = fields[1] if fields[0] == HEAD else None
    return head, list(_events(fields))


def _fields(git: Git, *wanted: str) -> list[str]:
    """What git says of refs, field after field; a name but the first is after a line feed."""
    output = git.raw("for-each-ref", f"--format={_FORMAT}", *wanted)
    return output.decode(errors="replace").split("\0")


def _events(parts: Sequence[str]) -> Iterator[Event]:
    size = len(_FIELDS)
    for start in range(0, len(parts) - size + 1, size):
        ref, oid, peeled, inner, name, mail, date, message = parts[start : start + size]
        tag = ref.removeprefix("\n").removeprefix("refs/tags/")
        meaning = tag_names.parse(tag)
        if meaning is not None:
            tagger = f"{name} {mail}" if inner else ""
            record = read_record(message) if inner else None
            yield Event(
                tag, meaning, oid, peeled or oid, inner, tagger, int(date or 0), record, message
            )


def read_event(git: Git, tag: str) -> Event | None:
    """Read one event; None if there is no such tag."""
    return next(_events(_fields(git, f"refs/tags/{tag}")), None)


def read_objects(git: Git) -> dict[str, str]:
    """Object ids of the events of a clone, by tag name."""
    form = "--format=%(objectname) %(refname:lstrip=2)"
    pairs = (
        line.split(" ", 1) for line in git.text("for-each-ref", form, *patterns()).splitlines()
    )
    return {tag: oid for oid, tag in pairs if is_event(tag)}


def read_head(git: Git) -> str | None:
    """Read the head: the object id of the last event that this clone knows; None without one."""
    try:
        return git.text("rev-parse", "--verify", "--quiet", HEAD)
    except GitError:
        return None


def read_original(git: Git, oid: str) -> Event | None:
    """Read a tag object that no ref names any more; None if the object database lost it."""
    try:
        text = git.raw("cat-file", "tag", oid).decode(errors="replace")
    except GitError:
        return None
    header, _, message = text.partition("\n\n")
    fields = dict(line.partition(" ")[::2] for line in header.split("\n"))
    meaning = tag_names.parse(fields.get("tag", ""))
    match = _TAGGER.fullmatch(fields.get("tagger", ""))
    if meaning is None or match is None:
        return None
    record = read_record(message)
    commit, tag, seconds = fields.get("object", ""), fields["tag"], int(match["seconds"])
    return Event(tag, meaning, oid, commit, tag, match["who"], seconds, record, message)


def read_originals(git: Git, events: Iterable[Event], head: str | None) -> dict[str, Event]:
    """Read the tag objects that records or the head name and no ref does any more, by id."""
    named = {event.object: event.previous for event in events}
    wanted = [head, *named.values()]
    found: dict[str, Event] = {}
    while wanted:
        oid = wanted.pop()
        if oid is None or oid in named:
            continue
        original = read_original(git, oid)
        named[oid] = original.previous if original else None
        if original is not None:
            found[oid] = original
            wanted.append(original.previous)
    return found

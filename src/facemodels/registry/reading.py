"""Reading events from Git: one `git for-each-ref`, however many tags there are."""

from __future__ import annotations

from collections.abc import Iterable

from facemodels.names import ModelName
from facemodels.registry import tags
from facemodels.registry.events import Event, read_record
from facemodels.registry.git import Git, GitError

HEAD = "refs/facemodels/head"
_FIELDS = (
    "%(refname:lstrip=2)", "%(objectname)", "%(*objectname)", "%(tag)", "%(taggername)",
    "%(taggeremail)", "%(taggerdate:unix)", "%(contents)",
)  # fmt: skip
_FORMAT = "%00".join(_FIELDS) + "%00"


def patterns(models: Iterable[str] = ()) -> list[str]:
    """Ref patterns of the events of some models, or of all."""
    names = [str(ModelName.parse(model)) for model in models] or ["*"]
    return [f"refs/tags/{name}{mark}*" for name in names for mark in "@#"]


def is_event(tag: str) -> bool:
    """Whether a tag is one of ours."""
    return tags.parse(tag) is not None


def read_events(git: Git, models: Iterable[str] = ()) -> list[Event]:
    """Every tag of a model, or of the models named, in the order of their names.

    Raises:
        GitError: git failed.
    """
    output = git.raw("for-each-ref", f"--format={_FORMAT}", *patterns(models))
    parts = output.decode(errors="surrogateescape").split("\0")
    size = len(_FIELDS)
    events = []
    for start in range(0, len(parts) - size + 1, size):
        ref, oid, peeled, inner, name, mail, date, message = parts[start : start + size]
        tag = ref.removeprefix("\n")
        meaning = tags.parse(tag)
        if meaning is not None:
            tagger = f"{name} {mail}" if inner else ""
            record = read_record(message) if inner else None
            event = Event(
                tag, meaning, oid, peeled or oid, inner, tagger, int(date or 0), record, message
            )
            events.append(event)
    return events


def read_head(git: Git) -> str | None:
    """Object id of the last event that this clone knows to be last; None if it knows none."""
    try:
        return git.text("rev-parse", "--verify", "--quiet", HEAD)
    except GitError:
        return None


def read_original(git: Git, oid: str) -> Event | None:
    """A tag object that no tag holds any more, if the object database still has it."""
    try:
        text = git.raw("cat-file", "tag", oid).decode(errors="surrogateescape")
    except GitError:
        return None
    header, _, message = text.partition("\n\n")
    fields = dict(line.partition(" ")[::2] for line in header.split("\n"))
    meaning = tags.parse(fields.get("tag", ""))
    if meaning is None:
        return None
    tagger, date = fields.get("tagger", " 0 +0000").rsplit(" ", 2)[:2]
    commit, tag = fields.get("object", ""), fields["tag"]
    return Event(tag, meaning, oid, commit, tag, tagger, int(date), read_record(message), message)

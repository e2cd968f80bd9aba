"""Whether a clone has all events or only some: a shallow one, one without tags, one with gaps.

A checkout in CI is shallow and without tags by default; a list of what it has is no list of what
there is. Where a clone shows a sign of that, the remote is asked.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from facemodels.errors import InputError, ToolError, some
from facemodels.git import Git, GitError
from facemodels.registry import reading, tag_names
from facemodels.registry.events import Event

if TYPE_CHECKING:
    from facemodels.registry.remote import RegistryRemote

_SYNC = "`facemodels registry sync` fetches them."
_ALL = "+refs/heads/*"
_GAP = "events that others name are not here"


def signs(git: Git, events: Sequence[Event], *, whole_chain: bool) -> list[str]:
    """Say why a clone may lack events; empty where nothing says so.

    Args:
        git: runs commands in the clone.
        events: those that it has.
        whole_chain: whether they were read of all models, so that gaps in the chain show.
    """
    found = []
    if git.text("rev-parse", "--is-shallow-repository") == "true":
        found.append("it is a shallow clone")
    settings = _settings(git)
    if "--no-tags" in settings.get("tagopt", ()):
        found.append("it fetches no tags (remote.*.tagOpt)")
    if settings.get("fetch") and not any(one.startswith(_ALL) for one in settings["fetch"]):
        found.append("it fetches some branches alone (remote.*.fetch)")
    if not events:
        found.append("it has no event")
    if not all(event.inner_tag for event in events):
        found.append("it has lightweight tags, as a checkout makes them")
    if whole_chain:
        here = {event.object for event in events}
        gaps = [event for event in events if event.previous and event.previous not in here]
        head = reading.read_head(git)
        if gaps or (head is not None and head not in here):
            found.append(_GAP)
    return found


def _settings(git: Git) -> dict[str, list[str]]:
    """The values of `fetch` and `tagopt` of all remotes."""
    try:
        listed = git.text("config", "--get-regexp", r"^remote\..*\.(fetch|tagopt)$")
    except GitError:
        return {}
    found: dict[str, list[str]] = {}
    for line in listed.splitlines():
        key, _, value = line.partition(" ")
        found.setdefault(key.rpartition(".")[2].lower(), []).append(value)
    return found


def require_whole(
    git: Git,
    events: Sequence[Event],
    *,
    remote: RegistryRemote | None = None,
    models: Collection[str] = (),
) -> str:
    """Stop where the remote has events that this clone has not, and something says so.

    Args:
        git: runs commands in the clone.
        events: those that were read here.
        remote: the remote, which is then asked in any case; None asks the one that a clone has
            by default, where there is a sign (`signs`) that something is missing.
        models: the models that were read; empty for all.

    Returns:
        What may be missing, where the remote could not be asked or has no more; "" if nothing.

    Raises:
        ToolError: the remote has more events, or other ones.
    """
    why = signs(git, events, whole_chain=not models)
    if not why and remote is None:
        return ""
    # They bring the rules and pydantic along, for which reading never waits.
    from facemodels.registry import sync
    from facemodels.registry.remote import find

    maybe = f"This clone may lack events: {', '.join(why)}. {_SYNC}"
    try:
        asked = remote or find(git, "origin")
    except (ToolError, InputError):
        return maybe if why and events else ""  # a repository that was just begun has neither
    try:
        theirs = sync.remote_refs(git, asked.place)
    except GitError:
        return maybe
    here = {event.tag for event in events}
    there = [tag for tag in theirs if tag != reading.HEAD and _of(tag, models)]
    lacking = [tag for tag in there if tag not in here]
    if lacking:
        raise ToolError(
            f"{len(lacking)} of the {len(there)} events on {asked} are not in this clone"
            f"{f' ({why[0]})' if why else ''}.",
            _SYNC,
        )
    other = [event.tag for event in events if theirs.get(event.tag, event.object) != event.object]
    if other:
        raise ToolError(
            f"Tags of this clone are not what {asked} has under their names: {some(other, 5)}.",
            "`facemodels registry repair` gives back what was moved here; `facemodels registry "
            "audit` says what else is wrong.",
        )
    gap = _GAP in why
    return "Events that the chain names are nowhere: `facemodels registry audit`." if gap else ""


def _of(tag: str, models: Collection[str]) -> bool:
    meaning = tag_names.parse(tag)
    return not models or (meaning is not None and meaning.model in models)

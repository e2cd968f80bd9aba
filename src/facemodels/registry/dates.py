"""The date of the next event: the chain orders, dates inform.

Every event is later than the one before by a second at least, since GTO and DVC know the order of
tags by their dates alone. Where this machine's clock and the last event are a day or more apart,
one of the two is wrong, or nothing happened for a while, and others are asked:

- The remote's clock decides, where it can be had. If ours differs from it by a day, no event is
  made. If it agrees with ours, the last event was dated wrongly, and the next ones follow it by
  seconds: that stops nobody.
- Where the remote tells no time, or is a folder of this machine's own, a clock is behind if two
  people dated something by clocks of theirs a day after it. One of them alone may be who was
  wrong: the event follows, with a warning.

What takes production back, and what is done in an emergency, is never stopped: it has the remote's
date where ours is known to be wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from facemodels.errors import ToolError
from facemodels.git import Git, GitError
from facemodels.registry.events import Event, to_text
from facemodels.registry.remote import HostClock, RegistryRemote, read_clock

FAR_S = 24 * 3600  # clocks differ, and bursts of events add some seconds
_TWO = 2  # people; one clock that is wrong is no majority


@dataclass(frozen=True, slots=True)
class Dated:
    """Something that somebody dated by the clock of his machine.

    Attributes:
        who: his address.
        what: as it is told.
        time: seconds since 1970.
    """

    who: str
    what: str
    time: int


def date_next(
    git: Git,
    remote: RegistryRemote | None,
    events: Sequence[Event],
    last: Sequence[Event | None],
    commit: str,
    clock: int,
    *,
    urgent: bool,
) -> int:
    """The date of the next event, in seconds since 1970.

    Args:
        git: runs commands in the clone.
        remote: the remote; None for an event of this clone alone.
        events: all that are known.
        last: those of them that it has to be later than.
        commit: the id of the commit that it points to.
        clock: what this machine says.
        urgent: whether it must be made, whatever the clocks say.

    Raises:
        ToolError: this machine's clock is wrong by a day or more, and it is not urgent.
    """
    known = max((event.time for event in last if event is not None), default=0)
    if abs(clock - known) <= FAR_S:
        return max(clock, known + 1)
    theirs = read_clock(git, remote) if remote is not None else None
    others = later([*_by_own_clock(events), _commit(git, commit)], clock)
    fault = find_fault(clock, theirs, str(remote), others)
    if fault and not urgent:
        raise ToolError(
            f"This machine's clock is wrong: {fault}. An event would have that date for good.",
            "Set the clock (`timedatectl set-ntp true`) and run it again; nothing was changed. "
            "If the other clock is the wrong one: --local makes the event without asking, and "
            "`facemodels registry sync --publish` sends it.",
        )
    if fault or (clock < known and (theirs is None or theirs.own)):
        why = fault or f"it says {to_text(clock)}, and the last event is of {to_text(known)}"
        sys.stderr.write(
            f"Warning: this machine's clock {'is' if fault else 'or the last event is'} wrong: "
            f"{why}. The event is dated after the last one all the same.\n"
        )
    return max(int(theirs.time) if fault and theirs is not None else clock, known + 1)


def find_fault(
    clock: int, theirs: HostClock | None, remote: str, others: Mapping[str, Dated]
) -> str:
    """What shows that a clock is wrong by a day or more; "" if nothing does.

    Args:
        clock: what this machine says.
        theirs: what the remote says, None if it says nothing.
        remote: its name.
        others: what people dated a day or more after our clock (`later`).
    """
    if theirs is not None and abs(clock - theirs.time) > FAR_S:
        return f"it says {to_text(clock)}, and the one of {remote} {to_text(int(theirs.time))}"
    if (theirs is not None and not theirs.own) or len(others) < _TWO:
        return ""
    dated = " and ".join(
        f"{one.what} by {who} is of {to_text(one.time)}" for who, one in sorted(others.items())[:2]
    )
    return f"it says {to_text(clock)}, and {dated}"


def later(dated: Sequence[Dated | None], clock: int) -> dict[str, Dated]:
    """What was dated a day or more after a clock, the last by address."""
    return {one.who: one for one in dated if one is not None and one.time > clock + FAR_S}


def _by_own_clock(events: Sequence[Event]) -> list[Dated]:
    """The events without those that only follow the one before by a second."""
    times = {event.object: event.time for event in events}
    return [
        Dated(event.tagger.rpartition("<")[2].rstrip(">"), event.tag, event.time)
        for event in events
        if event.time != times.get(event.previous or "", 0) + 1
    ]


def _commit(git: Git, commit: str) -> Dated | None:
    try:
        who, _, time = git.text("show", "--no-patch", "--format=%ce %ct", commit).rpartition(" ")
        return Dated(who, f"commit {commit[:10]}", int(time))
    except (GitError, ValueError):
        return None  # the object is not here; whoever makes the tag says so

"""Fast and slow clocks, and events that such clocks dated: what is refused, and what goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from facemodels.errors import ToolError
from facemodels.git import Git
from facemodels.registry import dates
from facemodels.registry.events import Event
from facemodels.registry.remote import HostClock, RegistryRemote

from .conftest import NOW, commit_of, tagged, write

DAY = 24 * 3600
HEAD, COMMIT = "recognition-facenet@v1.0.0", commit_of("one")
ELSE = "Else <else@example.invalid>"
Clocks = Mapping[str, Any]


class _Told(Git):
    """Knows one commit, by another person than the events."""

    def __init__(self, time: int) -> None:
        self.time = time

    def text(self, *_: str, **__: object) -> str:
        return f"commits@example.invalid {self.time}"


@pytest.fixture
def date_next(monkeypatch: pytest.MonkeyPatch) -> Any:
    def date(
        clock: int,
        head: int,
        *,
        remote: HostClock | None = None,
        commit: int = NOW - 10 * DAY,
        urgent: bool = False,
        followers: int = 0,
    ) -> int:
        monkeypatch.setattr(dates, "read_clock", lambda *_: remote)
        chain: list[Event] = []
        for number in range(1 + followers):
            before = chain[-1] if chain else None
            text = write(HEAD, COMMIT, before, head + number)
            who = ELSE if number else "Test <test@example.invalid>"
            chain.append(tagged(HEAD, COMMIT, text, head + number, who))
        return dates.date_next(
            _Told(commit), RegistryRemote("origin", "origin"), chain, (chain[-1], None), COMMIT,
            clock, urgent=urgent,
        )  # fmt: skip

    return date


@pytest.mark.parametrize(
    ("clock", "asked", "fault"),
    [
        (NOW + 3 * DAY, {"head": NOW - 9 * DAY, "remote": HostClock(NOW)}, "the one of origin"),
        (NOW - 3 * DAY, {"head": NOW, "remote": HostClock(NOW)}, "the one of origin"),
        (0, {"head": NOW, "remote": HostClock(NOW)}, "1970-01-01.* the one of origin"),
        (NOW - 3 * DAY, {"head": NOW, "commit": NOW - 60}, "by commits@.* and .*by test@"),
        (NOW - 3 * DAY, {"head": NOW, "commit": NOW, "remote": HostClock(NOW - 3 * DAY, own=True)},
         "by commits@"),
    ],
    ids=["fast", "slow", "no battery", "slow by two people", "slow with its own folder"],
)  # fmt: skip
def test_a_wrong_clock_makes_no_event_but_an_urgent_one(
    date_next: Any, clock: int, asked: Clocks, fault: str
) -> None:
    with pytest.raises(ToolError, match=rf"clock is wrong: .*{fault}"):
        date_next(clock, **asked)
    made = date_next(clock, urgent=True, **asked)
    assert asked["head"] < made <= NOW + 1


@pytest.mark.parametrize(
    "asked",
    [
        {"remote": HostClock(NOW)},
        {"remote": HostClock(NOW), "commit": NOW + 5 * DAY},  # two people with wrong clocks
        {"remote": HostClock(NOW, own=True)},
        {"commit": NOW - 60},
        {"followers": 3},  # by somebody else, who had to follow
    ],
)
def test_a_head_dated_days_ahead_stops_nobody(
    date_next: Any, asked: Clocks, capsys: pytest.CaptureFixture[str]
) -> None:
    head = NOW + 5 * DAY
    assert date_next(NOW, head, **asked) == head + asked.get("followers", 0) + 1
    known = asked.get("remote", HostClock(0, own=True)).own is False
    assert ("clock or the last event is wrong" in capsys.readouterr().err) is not known


def test_a_quiet_registry_and_clocks_that_differ_by_hours_are_nothing_to_tell(
    date_next: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert date_next(NOW, NOW - 300 * DAY) == NOW
    assert date_next(NOW, NOW + 5 * 3600) == NOW + 5 * 3600 + 1
    assert capsys.readouterr().err == ""

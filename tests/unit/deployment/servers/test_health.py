"""A slow server is not a hung one, and the last one of a model is never killed for slowness."""

from __future__ import annotations

import pytest

from facemodels.deployment.servers.health import Effort, why_hung
from facemodels.serving.heartbeat import Heartbeat

NOW, HANG_S = 1000.0, 5.0


def beat(*, silent_s: float = 0.1, stuck_s: float = 0.0) -> Heartbeat:
    return Heartbeat(1, NOW - 0.1, NOW - silent_s, NOW - stuck_s, True, 40, 9)


@pytest.mark.parametrize("last", [True, False])
def test_whoever_makes_progress_is_not_killed_however_late_its_answers_are(last: bool) -> None:
    """No health check was answered for an hour, as requests queue behind work."""
    assert why_hung(beat(stuck_s=30.0), 3600.0, NOW, HANG_S, last=last, idle=False) == ""


@pytest.mark.parametrize("last", [True, False])
def test_a_process_that_stands_is_killed(last: bool) -> None:
    why = why_hung(beat(silent_s=6.0), 0.0, NOW, HANG_S, last=last, idle=True)
    assert why == "gave no sign of life for 6 s and was killed"
    assert why_hung(None, 6.0, NOW, HANG_S, last=last, idle=True) == why


@pytest.mark.parametrize("one", [beat(silent_s=300.0), beat(stuck_s=300.0), None])
def test_one_that_works_and_gets_nowhere_is_killed_late_and_not_if_it_is_the_last(
    one: Heartbeat | None,
) -> None:
    assert "got no further" in why_hung(one, 300.0, NOW, HANG_S, last=False, idle=False)
    assert why_hung(one, 300.0, NOW, HANG_S, last=True, idle=False) == ""


def test_a_process_that_waits_for_a_processor_is_not_idle() -> None:
    before = Effort(0.0, 1.0, waits=False)
    assert Effort(10.0, 1.1, waits=False).idle_since(before)  # it wrote its heartbeat
    assert not Effort(10.0, 1.0, waits=True).idle_since(before)
    assert not Effort(10.0, 4.0, waits=False).idle_since(before)

from __future__ import annotations

import os
from pathlib import Path

from facemodels.serving.heartbeat import Activity, Heartbeat, HeartbeatThread, read_heartbeat


class Now:
    s = 100.0

    def __call__(self) -> float:
        return self.s


def test_work_that_goes_on_moves_and_work_that_hangs_does_not() -> None:
    now = Now()
    activity = Activity(now)
    now.s = 110
    assert activity.moved_s == 110  # idle
    with activity:
        now.s = 117
        assert activity.moved_s == 110
        with activity:  # another thread
            now.s = 120
        assert activity.moved_s == 120
        now.s = 130
        assert activity.moved_s == 120
    now.s = 140
    assert activity.moved_s == 140


def test_a_heartbeat_is_read_as_it_was_written_and_rubbish_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.beat"
    assert read_heartbeat(path) is None
    path.write_bytes(b"x" * 5000)  # of whatever was there before
    assert read_heartbeat(path) is None
    path.unlink()
    beat = Heartbeat(os.getpid(), 100.0, 97.0, 40.0, ready=True, in_flight=3, shed=7)
    HeartbeatThread(path, lambda: beat).start()
    found = read_heartbeat(path)
    assert found == beat
    assert (found.silent_s(101), found.stuck_s(101)) == (4, 61)


def test_a_server_serves_without_a_heartbeat_that_cannot_be_written(tmp_path: Path) -> None:
    def never() -> Heartbeat:
        raise AssertionError

    HeartbeatThread(tmp_path / "no/folder/a.beat", never).start()

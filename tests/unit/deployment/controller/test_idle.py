"""An idle environment costs little, and nothing that happens is noticed later for that."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from unittest.mock import Mock

from facemodels.deployment.controller.alarms import Alarms
from facemodels.deployment.controller.pace import Pace
from facemodels.deployment.controller.status import ToldFile
from facemodels.deployment.servers.process import adopt, start, wait_for_end


def test_the_loop_slows_down_when_nothing_moves_and_turns_at_once_on_a_sign(
    tmp_path: Path,
) -> None:
    sign = [0]
    pace, stop = Pace(lambda: sign[0], wait_for_end), threading.Event()

    def rest() -> float:
        pace.begin()
        before = time.monotonic()
        pace.rest(stop, hang_s=5.0)
        return time.monotonic() - before

    assert rest() < 0.3  # it has just begun
    pace._moved -= 60
    assert rest() >= 0.9
    threading.Timer(0.01, lambda: sign.__setitem__(0, 1)).start()
    assert rest() < 0.3
    assert rest() < 0.3  # something moved lately
    process = start(tmp_path / "one.json", ["sleep", "60"], log=tmp_path / "one.log")
    assert adopt(process.path) is not None
    pace._moved -= 60
    threading.Timer(0.01, os.kill, (process.pid, signal.SIGKILL)).start()
    assert rest() < 0.15  # it is not among the signs, which are looked at later
    pace._moved -= 60
    assert rest() >= 0.9  # nobody asks for it any more
    process.end(0)
    pace._moved -= 60
    stop.set()
    assert rest() < 0.1


def test_a_told_file_is_written_where_it_changed_and_touched_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    told = ToldFile(path)
    assert told.tell({"a": 1})
    first = path.stat()
    os.utime(path, (1, 1))
    told._touched -= 2
    assert not told.tell({"a": 1})
    assert path.stat().st_ino == first.st_ino
    assert path.stat().st_mtime > 1
    path.unlink()
    told._touched -= 2
    assert not told.tell({"a": 1})
    assert path.exists()
    assert told.tell({"a": 2})


def test_an_alarm_that_lasts_has_one_line_in_the_log_whatever_its_numbers() -> None:
    log = Mock()
    alarms = Alarms(log)
    for number in range(10):
        alarms.put("load", f"overloaded: {number} in flight")
        alarms.clear("load")
        alarms.put("load", f"overloaded: {number}.5 in flight")
    assert log.error.call_count == 1
    assert alarms.all() == {"load": "overloaded: 9.5 in flight"}
    alarms.put("load", "no space left")
    assert log.error.call_count == 2

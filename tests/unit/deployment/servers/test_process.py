from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from facemodels import files
from facemodels.deployment.servers.process import (
    Process,
    _marked,
    _started,
    adopt,
    start,
    strays,
)
from facemodels.errors import ConflictError, InputError, ToolError

SLEEP = [sys.executable, "-c", "import time; print('here', flush=True); time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('here', flush=True); time.sleep(600)",
]
PARENT = [
    sys.executable,
    "-c",
    "import subprocess, sys, time;"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
    "print('child', child.pid, flush=True); time.sleep(600)",
]


def until(condition: Callable[[], object]) -> object:
    deadline = time.monotonic() + 30
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)
    return found


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for one in _marked():
        if one.path.is_relative_to(tmp_path):
            one.end(0)
    for path in tmp_path.glob("*.json"):
        adopt(path)  # reaps


def begin(folder: Path, command: list[str] = SLEEP, name: str = "one", **facts: object) -> Process:
    process = start(folder / f"{name}.json", command, log=folder / f"{name}.log", facts=facts)
    until(lambda: (folder / f"{name}.log").read_text().endswith("\n"))
    return process


def test_a_process_is_adopted_with_what_was_said_of_it(folder: Path) -> None:
    process = begin(folder, port=8001, model="rec-facenet-v1.0.0")
    adopted = adopt(folder / "one.json")
    assert adopted == process
    assert adopted.facts == {"port": 8001, "model": "rec-facenet-v1.0.0"}
    assert adopted.command == tuple(SLEEP)
    assert (folder / "one.log").read_text() == "here\n"


def test_a_process_leads_a_session_of_its_own(folder: Path) -> None:
    process = begin(folder)
    assert os.getsid(process.pid) == os.getpgid(process.pid) == process.pid


def test_a_process_outlives_a_starter_that_is_killed(folder: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path;"
        "from facemodels.deployment.servers.process import start;"
        "start(Path(sys.argv[1]) / 'one.json', ['sleep', '600'], log=Path(sys.argv[1]) / 'log');"
        "os.killpg(0, signal.SIGKILL)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)], check=False, start_new_session=True
    )
    assert done.returncode == -signal.SIGKILL
    adopted = adopt(folder / "one.json")
    assert adopted is not None
    adopted.end(5)
    assert gone(adopted.pid)
    assert not (folder / "one.json").exists()


@pytest.mark.parametrize(("command", "grace_s", "at_least_s"), [(SLEEP, 20, 0), (STUBBORN, 0.5, 0.5)])  # fmt: skip
def test_end_asks_first_and_then_kills(
    folder: Path, command: list[str], grace_s: float, at_least_s: float
) -> None:
    process = begin(folder, command)
    begun = time.monotonic()
    process.end(grace_s)
    assert at_least_s <= time.monotonic() - begun < at_least_s + 10
    assert not process.alive()
    assert not psutil.pid_exists(process.pid)  # reaped, no zombie
    assert not (folder / "one.json").exists()


@pytest.mark.parametrize("command", [SLEEP, STUBBORN])
def test_end_ends_a_process_that_was_stopped(folder: Path, command: list[str]) -> None:
    process = begin(folder, command)
    os.kill(process.pid, signal.SIGSTOP)
    until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
    assert process.alive()
    process.end(0.3)
    assert not psutil.pid_exists(process.pid)


def test_end_takes_along_what_the_process_started_even_if_it_died_before(folder: Path) -> None:
    for first in (False, True):
        process = begin(folder, PARENT, name=f"family-{first}")
        child = int((folder / f"family-{first}.log").read_text().split()[1])
        assert not gone(child)
        if first:
            os.kill(process.pid, signal.SIGKILL)
            until(lambda process=process: not process.alive())
        process.end(5)
        until(lambda child=child: gone(child))


def test_a_process_that_died_is_not_adopted_and_leaves_no_zombie(folder: Path) -> None:
    process = begin(folder)
    os.kill(process.pid, signal.SIGKILL)
    until(lambda: adopt(folder / "one.json") is None)
    assert not process.alive()
    assert not psutil.pid_exists(process.pid)


def test_a_zombie_of_somebody_else_is_dead(folder: Path) -> None:
    child = subprocess.Popen(["true"])
    until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)
    started = _started(child.pid, zombie=True)
    assert started
    assert not Process(folder / "x.json", child.pid, started).alive()
    child.wait()


def test_a_pid_that_is_used_again_is_neither_adopted_nor_ended(folder: Path) -> None:
    process = begin(folder)
    other = Process(folder / "other.json", process.pid, "another start")
    record = {"pid": process.pid, "started": "another start", "command": [], "facts": {}}
    files.write_json(folder / "other.json", record)
    assert adopt(folder / "other.json") is None
    other.end(1)
    assert process.alive()
    assert not (folder / "other.json").exists()


def test_the_end_of_an_old_process_leaves_the_file_of_its_successor(folder: Path) -> None:
    old = begin(folder)
    kept = (folder / "one.json").read_bytes()
    os.kill(old.pid, signal.SIGKILL)
    until(lambda: not old.alive())
    new = begin(folder)
    assert (folder / "one.json").read_bytes() != kept
    old.end(1)
    assert new.alive()
    assert adopt(folder / "one.json") == new


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"pid": 1}',
        '{"pid": "x", "started": "", "command": [], "facts": {}}',
    ],  # fmt: skip
)
def test_a_broken_file_names_no_process(folder: Path, text: str) -> None:
    (folder / "one.json").write_text(text)
    assert adopt(folder / "one.json") is None
    assert begin(folder).alive()


def test_a_start_is_named_the_same_whatever_the_clock_says(folder: Path) -> None:
    process = begin(folder)
    boot, _, ticks = process.started.partition(":")
    hertz = os.sysconf("SC_CLK_TCK")
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    assert boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert 0 <= uptime - int(ticks) / hertz < 60


def test_one_file_has_one_process(folder: Path) -> None:
    process = begin(folder)
    with pytest.raises(ConflictError, match="runs already"):
        begin(folder)
    assert process.alive()
    assert len(strays(folder)) == 0


def test_a_program_that_does_not_exist_is_named(folder: Path) -> None:
    with pytest.raises(InputError, match="/nowhere/traefik does not exist"):
        start(folder / "one.json", ["/nowhere/traefik"], log=folder / "log")
    assert not (folder / "one.json").exists()


def test_nothing_runs_when_the_file_cannot_be_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, value: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_json", full)
    with pytest.raises(ToolError, match=r"No space left .* has room"):
        start(folder / "one.json", SLEEP, log=folder / "log")
    assert strays(folder) == []


def test_a_process_that_no_file_names_is_found_and_ended(folder: Path) -> None:
    # What a kill between the start and the writing of the file leaves.
    lost = begin(folder, PARENT, name="lost")
    child = int((folder / "lost.log").read_text().split()[1])
    (folder / "lost.json").unlink()
    known = begin(folder, PARENT, name="known")
    elsewhere = begin(folder / "not", name="here")
    found = strays(folder / "no")
    assert found == []
    found = [one for one in strays(folder) if one.path.parent == folder]
    assert {one.pid for one in found} == {lost.pid, child}
    for one in found:
        one.end(1)
    assert gone(lost.pid)
    assert gone(child)
    assert known.alive()
    assert elsewhere.alive()
    assert strays(folder) == []


def test_a_process_whose_file_names_another_one_is_a_stray(folder: Path) -> None:
    old = begin(folder)
    (folder / "one.json").unlink()
    new = begin(folder)
    assert [one.pid for one in strays(folder)] == [old.pid]
    old.end(1)
    assert adopt(folder / "one.json") == new


def test_a_long_log_starts_anew_and_the_one_before_is_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facemodels.deployment.servers.process.LOG_BYTES", 100)
    log = folder / "one.log"
    log.write_text("x" * 100)
    start(folder / "one.json", ["true"], log=log)
    until(lambda: adopt(folder / "one.json") is None)
    assert log.read_text() == "x" * 100
    log.write_text("x" * 101)
    start(folder / "one.json", ["echo", "new"], log=log)
    until(lambda: adopt(folder / "one.json") is None)
    assert log.read_text() == "new\n"
    assert (folder / "one.log.1").read_text() == "x" * 101

"""Starts, adopts and ends processes that outlive the process that started them.

A file beside each process holds what a restarted controller must know: the pid, the start time,
and what the caller adds (a port, a model). The kernel reuses pids, so only pid and start time
together identify a process. On Linux the start time is counted in ticks since the boot, so that
setting the clock does not change it.

A parent that is killed between starting a process and writing that file leaves a process without
a file. Every process therefore carries the path of its file in an environment variable from its
first instruction on; `strays` finds the processes that no file names.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from facemodels import files
from facemodels.deployment.servers.exits import ExitWatch
from facemodels.deployment.settings import STATUS
from facemodels.errors import ConflictError, InputError, ToolError

VARIABLE = "FACEMODELS_PROCESS"  # environment variable with the path of the process's file
LOG_BYTES = 10 * 2**20  # a longer log is renamed to <log>.1 when the process starts
_POLL_S = 0.01
_PROC = Path("/proc")
# Our own children, kept so that they are reaped: a zombie keeps its pid.
_children: dict[tuple[int, str], subprocess.Popen[bytes]] = {}
_exit_codes: dict[tuple[int, str], int | None] = {}  # of our children that ended
_read_files: dict[Path, tuple[tuple[int, int], Process]] = {}  # by `adopt`
_exits = ExitWatch()


@dataclass(frozen=True)
class Process:
    """A process that this program or an earlier one started.

    Attributes:
        path: the path of its file.
        pid: its pid; the process leads a session and a process group of its own.
        started: identifies its start on this machine and boot.
        command: the command line; empty for a stray.
        facts: the JSON values that the caller of `start` stored.
    """

    path: Path
    pid: int
    started: str
    command: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def started_s(self) -> float | None:
        """Seconds from the boot to its start; None if the system does not count them."""
        _, found, ticks = self.started.rpartition(":")
        return int(ticks) / os.sysconf("SC_CLK_TCK") if found else None

    def alive(self) -> bool:
        """Whether it runs. A process stopped by a signal counts as running, a zombie does not."""
        runs = _exits.runs(self.pid, self.started)
        if _started(self.pid) == self.started if runs is None else runs:
            return True
        child = _children.pop((self.pid, self.started), None)
        if child is not None:
            # This returns at once unless a thread of the process waits in the kernel.
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(1)
            _exit_codes[self.pid, self.started] = child.returncode
        return False

    @property
    def exit_code(self) -> int | None:
        """How it ended: its exit code, or minus the number of the signal that killed it.

        None as long as it runs, and where an earlier program started it: only a parent is told.
        """
        return _exit_codes.get((self.pid, self.started))

    def end(self, grace_s: float) -> None:
        """End the process and its children, and delete its file.

        Args:
            grace_s: seconds from SIGTERM to SIGKILL; 0 kills at once.

        Raises:
            ToolError: the process still exists 10 s after SIGKILL.
        """
        if grace_s > 0:
            self._signal(signal.SIGTERM)
            self._signal(signal.SIGCONT)  # a stopped process handles SIGTERM only after this
            self._wait(grace_s)
        # This is done also where it ended by itself, for children that are still in its group.
        self._signal(signal.SIGKILL, group=True)
        if not self._wait(10):
            raise ToolError(
                f"Process {self.pid} ({self.path.stem}) does not end.",
                "It waits in the kernel, for example for a disk; look at it with ps.",
            )
        if _names(self.path, self):
            self.path.unlink(missing_ok=True)

    def note(self, **facts: Any) -> Process:
        """Write its file anew, with some other facts.

        Raises:
            OSError: the file cannot be written.
        """
        noted = replace(self, facts={**self.facts, **facts})
        files.write_json(
            self.path,
            {
                "pid": self.pid,
                "started": self.started,
                "command": list(self.command),
                "facts": noted.facts,
            },
        )
        return noted

    def _signal(self, number: signal.Signals, *, group: bool = False) -> None:
        alive = self.alive()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if group and (_leads(self.pid) if alive else _left(self)):
                os.killpg(self.pid, number)
            elif alive:
                os.kill(self.pid, number)

    def _wait(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return True


def start(
    path: Path,
    command: Sequence[str],
    *,
    log: Path,
    facts: Mapping[str, Any] | None = None,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
) -> Process:
    """Start a process in a session of its own.

    Args:
        path: the path of its file, which `adopt` reads.
        command: the program and its arguments.
        log: the file that gets its output; one longer than `LOG_BYTES` is renamed first.
        facts: JSON values that are stored in the file.
        folder: its working directory; None keeps ours.
        environment: environment variables that are added to ours.
        stdin: a file descriptor that becomes its standard input.

    Raises:
        ConflictError: the process of this file still runs.
        InputError: there is no such program.
        ToolError: the process cannot be started, or its file cannot be written. Nothing runs then.
    """
    path = path.absolute()
    if adopt(path) is not None:
        raise ConflictError(f"The process of {path} runs already.", "End it, or take it as it is.")
    known = dict(facts or {})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _rotate(log)
        with log.open("ab") as out:
            child = subprocess.Popen(
                list(command),
                stdin=stdin,
                stdout=out,
                stderr=out,
                cwd=folder,
                env={**os.environ, **(environment or {}), VARIABLE: str(path)},
                start_new_session=True,
            )
    except FileNotFoundError as error:
        raise InputError(
            f"{error.filename} does not exist.", "Install the package in full."
        ) from error
    except OSError as error:
        raise ToolError(f"{command[0]} cannot be started: {error}.", _remedy(path)) from error
    process = Process(path, child.pid, _stamp(child.pid), tuple(command), known)
    _children[process.pid, process.started] = child
    try:
        process.note()
    except OSError as error:
        process.end(0)
        raise ToolError(f"{path} cannot be written: {error}.", _remedy(path)) from error
    except BaseException:
        process.end(0)
        raise
    return process


def adopt(path: Path) -> Process | None:
    """The running process that a file names; None if it ended or the file is unreadable.

    It is asked many times a second, so a file that did not change is not read again.
    """
    try:
        found = path.stat()
    except OSError:
        _read_files.pop(path, None)
        return None
    stamp = found.st_ino, found.st_mtime_ns  # a changed file is a new one: `Process.note`
    known = _read_files.get(path)
    if known is None or known[0] != stamp:
        record = _read(path)
        try:
            process = Process(
                path.absolute(),
                int(record["pid"]),
                str(record["started"]),
                tuple(record["command"]),
                dict(record["facts"]),
            )
        except (KeyError, TypeError, ValueError):
            return None
        known = _read_files[path] = stamp, process
        if process.alive():
            _exits.watch(process.pid, process.started, lambda: _started(process.pid))
    return known[1] if known[1].alive() else None


def wait_for_end(seconds: float) -> bool:
    """Wait until a process that was adopted ends, for so long at most; say whether one did.

    This is one call of the system, however many processes there are.
    """
    return _exits.wait(seconds)


def strays(folder: Path) -> list[Process]:
    """Find processes whose file belongs into a folder and which no file there names.

    Children of a known process are in its session and are no strays.
    """
    inside = folder.absolute()
    return [one for one in _marked() if one.path.is_relative_to(inside) and not _known(one)]


_ROUTER = "router"
_GRACE_S = 25.0  # for a server: its own drain time and a little more


def running_processes(folder: Path) -> list[Process]:
    """The routers and the servers that run in a state folder, the routers first.

    A server that gets no requests any more ends without losing one.

    Args:
        folder: the state folder of an environment whose controller has ended.
    """
    kinds = (folder / _ROUTER, folder / "servers")
    paths = [path for kind in kinds for path in sorted(kind.glob("*.json"))]
    found = (adopt(path) for path in paths)
    return [process for process in found if process is not None]


def end_all(folder: Path) -> None:
    """End the router and the servers of a state folder, and processes that no file names."""
    for process in running_processes(folder):
        process.end(_GRACE_S)
    for stray in strays(folder):
        stray.end(0)
    (folder / STATUS).unlink(missing_ok=True)  # it would say that they serve


def _marked() -> Iterator[Process]:
    for one in psutil.process_iter():
        # The process belongs to another user, or has ended meanwhile.
        with contextlib.suppress(psutil.Error, OSError):
            path = one.environ().get(VARIABLE)
            started = _started(one.pid)
            if path and started and one.pid != os.getpid():
                yield Process(Path(path), one.pid, started)


def _known(process: Process) -> bool:
    named = adopt(process.path)
    if named is None:
        return False
    try:
        return os.getsid(process.pid) == named.pid
    except ProcessLookupError:
        return True


def _leads(pid: int) -> bool:
    return os.getpgid(pid) == pid


def _left(process: Process) -> bool:
    """Whether a process group outlived its leader; the kernel does not reuse its number."""
    if _started(process.pid, zombie=True) not in (None, process.started):
        return False  # the group ended too, and another process has its number now
    return any(_group(one.pid) == process.pid for one in psutil.process_iter())


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except OSError:
        return None


def _stamp(pid: int) -> str:
    """The start of our own child, which exists until we wait for it."""
    return _started(pid, zombie=True) or ""


def _started(pid: int, *, zombie: bool = False) -> str | None:
    """Identifies the start of a process; None if there is no process, or only a zombie."""
    if (_PROC / "self/stat").exists():
        try:
            text = (_PROC / str(pid) / "stat").read_text("utf-8", "replace")
            boot = _boot_id()
        except OSError:
            return None
        # proc_pid_stat(5): after the name, which may hold anything, come state … starttime (22nd).
        parts = text.rpartition(")")[2].split()
        return None if parts[0] in "ZXx" and not zombie else f"{boot}:{parts[19]}"
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE and not zombie:
            return None
        return f"{process.create_time():.2f}"
    except psutil.Error:
        return None


@functools.cache
def _boot_id() -> str:
    """Identifies the boot; it stays the same as long as we run."""
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def _names(path: Path, process: Process) -> bool:
    record = _read(path)
    return isinstance(record, dict) and (record.get("pid"), record.get("started")) == (
        process.pid,
        process.started,
    )


def _rotate(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_name(log.name + ".1"))


def _remedy(path: Path) -> str:
    return f"See that the disk of {path.parent} has room and that you may write there."

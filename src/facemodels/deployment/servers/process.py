"""One long-lived process that outlives the one that started it.

What a restart has to know lies in a file beside the process: its pid, when it started, and what
the caller adds (its port, its model). A pid alone names nobody, as it is used again; pid and start
together do. On Linux the start is counted in ticks since the boot, which a set clock does not move.

A parent that is killed between starting a process and writing that file leaves one that nobody
knows. Every process therefore carries the path of its file in its environment, from its first
instruction on; `strays` finds those that no file names.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from facemodels import files
from facemodels.errors import ConflictError, InputError, ToolError

VARIABLE = "FACEMODELS_PROCESS"  # of the environment: the path of the process' file
LOG_BYTES = 10 * 2**20  # a longer log starts anew; the one before is kept
_POLL_S = 0.01
_PROC = Path("/proc")
# Of our own children, so that they are reaped: a zombie keeps its pid.
_children: dict[tuple[int, str], subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Process:
    """A process that was started here or by someone before us.

    Attributes:
        path: of its file.
        pid: of the process, which leads a session and a group of its own.
        started: names its start on this machine and boot.
        command: that was run; empty for a stray.
        facts: what whoever started it wanted to be known.
    """

    path: Path
    pid: int
    started: str
    command: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def started_s(self) -> float | None:
        """Seconds from the boot to its start; None where the system does not count them."""
        _, found, ticks = self.started.rpartition(":")
        return int(ticks) / os.sysconf("SC_CLK_TCK") if found else None

    def alive(self) -> bool:
        """Whether it runs; stopped by a signal it does, as a zombie it does not."""
        if _started(self.pid) == self.started:
            return True
        child = _children.pop((self.pid, self.started), None)
        if child is not None:
            # At once; only threads that the kernel does not let go hold a zombie back.
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(1)
        return False

    def end(self, grace_s: float) -> None:
        """End it and what it started, and forget its file; also one that was stopped.

        Args:
            grace_s: from SIGTERM to SIGKILL; 0 kills at once.

        Raises:
            ToolError: the kernel does not let it go.
        """
        if grace_s > 0:
            self._signal(signal.SIGTERM)
            self._signal(signal.SIGCONT)  # a stopped process does not see the SIGTERM before
            self._wait(grace_s)
        # Also where it ended by itself: children that it left are in its group still.
        self._signal(signal.SIGKILL, group=True)
        if not self._wait(10):
            raise ToolError(
                f"Process {self.pid} ({self.path.stem}) does not end.",
                "It waits in the kernel, for example for a disk; look at it with ps.",
            )
        if _names(self.path, self):
            self.path.unlink(missing_ok=True)

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
) -> Process:
    """Start a process in a session of its own.

    Args:
        path: of its file, which `adopt` reads.
        command: program and arguments.
        log: gets what it prints; moved to `<log>.1` first when it is longer than `LOG_BYTES`.
        facts: JSON that goes into the file.
        folder: it runs in; without it in ours.
        environment: added to ours.

    Raises:
        ConflictError: the process of this file still runs.
        InputError: there is no such program.
        ToolError: it cannot be started, or its file cannot be written; nothing runs then.
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
                stdin=subprocess.DEVNULL,
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
        files.write_json(
            path,
            {
                "pid": process.pid,
                "started": process.started,
                "command": list(command),
                "facts": known,
            },
        )
    except OSError as error:
        process.end(0)
        raise ToolError(f"{path} cannot be written: {error}.", _remedy(path)) from error
    except BaseException:
        process.end(0)
        raise
    return process


def adopt(path: Path) -> Process | None:
    """The process of a file, if it is the one that runs under its pid; None otherwise."""
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
    return process if process.alive() else None


def strays(folder: Path) -> list[Process]:
    """Processes whose file should lie below a folder, and which no file there names.

    What a process that is known started itself is in its session, and no stray.
    """
    inside = folder.absolute()
    return [one for one in _marked() if one.path.is_relative_to(inside) and not _known(one)]


def _marked() -> Iterator[Process]:
    for one in psutil.process_iter():
        # Another user's, or gone meanwhile.
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
    """Whether a group outlived its leader; the kernel gives its number to nobody else meanwhile."""
    if _started(process.pid, zombie=True) not in (None, process.started):
        return False  # the group ended too, and its number is another process' now
    return any(_group(one.pid) == process.pid for one in psutil.process_iter())


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except OSError:
        return None


def _stamp(pid: int) -> str:
    """The start of our own child, which is there until we wait for it."""
    return _started(pid, zombie=True) or ""


def _started(pid: int, *, zombie: bool = False) -> str | None:
    """Names the start of a process; None if there is none, or only a zombie."""
    if (_PROC / "self/stat").exists():
        try:
            text = (_PROC / str(pid) / "stat").read_text("utf-8", "replace")
            boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
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


@dataclass(frozen=True)
class Deaths:
    """How often a process died soon after its start.

    Attributes:
        quick: in a row.
        last: seconds since 1970.
    """

    quick: int = 0
    last: float = 0.0


@dataclass(frozen=True)
class Backoff:
    """When a process that died may be started again. Pure.

    Attributes:
        first_s: after the first quick death; then twice as long each time.
        max_s: at most.
        settled_s: who lived so long did not die quickly.
    """

    first_s: float
    max_s: float
    settled_s: float

    def died(self, deaths: Deaths, lived_s: float, now: float) -> Deaths:
        """Count a death; a process that had settled starts the count anew."""
        quick = 1 if lived_s >= self.settled_s else deaths.quick + 1
        return Deaths(quick, now)

    def wait_s(self, deaths: Deaths, now: float) -> float:
        """Seconds until it may be started; 0: now.

        A clock that was set back before the last death must not hold it for as long as that.
        """
        if deaths.quick == 0 or now < deaths.last:
            return 0.0
        # 2**64 s is longer than any `max_s`; without the bound the power overflows a float.
        pause = min(self.max_s, self.first_s * 2.0 ** min(deaths.quick - 1, 64))
        return max(0.0, deaths.last + pause - now)


def deaths_of(path: Path) -> Deaths:
    """How often the process of a file died quickly; none if that is unknown."""
    record = _read(_deaths_path(path))
    try:
        return Deaths(int(record["quick"]), float(record["last"]))
    except (KeyError, TypeError, ValueError):
        return Deaths()


def keep_deaths(path: Path, deaths: Deaths) -> None:
    """Keep it beside the file, for whoever watches next."""
    files.write_json(_deaths_path(path), {"quick": deaths.quick, "last": deaths.last})


def _deaths_path(path: Path) -> Path:
    return path.with_suffix(".deaths")

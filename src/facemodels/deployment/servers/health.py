"""Whether a server is ready, makes progress, or hangs.

A server says so itself in its heartbeat, a file that it writes whatever its load. A request for
health queues behind the work of an overloaded server, so it is asked only where there is no
heartbeat: at the start, and where the file cannot be written.
"""

from __future__ import annotations

import http.client
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from facemodels.routes import READY
from facemodels.serving.heartbeat import Heartbeat, read_heartbeat

HOST = "127.0.0.1"
CHECK_S = 0.5  # time limit of one health check
_IDLE = 0.02  # of a processor
STUCK = 12  # times `hang_s`: one run of a large batch on a busy machine takes many seconds


def beat_of(path: Path, pid: int) -> Heartbeat | None:
    """The heartbeat of a process; None if there is none, or another process wrote the file."""
    beat = read_heartbeat(path)
    return beat if beat is not None and beat.pid == pid else None


@dataclass(frozen=True)
class Effort:
    """How much a process had worked at a moment.

    Attributes:
        time: the moment on the monotonic clock, in seconds.
        cpu_s: the processor time that it had used.
        waits: whether it worked or waited for a processor at that moment.
    """

    time: float
    cpu_s: float
    waits: bool

    def idle_since(self, before: Effort) -> bool:
        """Whether the process did nothing but perhaps write its heartbeat since a moment."""
        used = self.cpu_s - before.cpu_s
        return not self.waits and used < _IDLE * (self.time - before.time)


def effort_of(pid: int, now: float) -> Effort:
    """How much a process has worked until now; nothing if it does not exist."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        with process.oneshot():
            times = process.cpu_times()
            waits = process.status() == psutil.STATUS_RUNNING
        return Effort(now, times.user + times.system, waits)
    return Effort(now, 0.0, waits=False)


class Silence:
    """A process that gives no sign, and whether it works meanwhile: then it is slow, not hung."""

    def __init__(self) -> None:
        self._begin: Effort | None = None  # its work when its silence was noticed

    def idle(self, pid: int, silent_s: float, now: float, hang_s: float) -> bool:
        """Whether it gave no sign for too long, and did nothing since that was noticed.

        This is asked again and again, whether it is silent or not.

        Args:
            pid: the process.
            silent_s: seconds since its last sign of life.
            now: of the monotonic clock, in seconds.
            hang_s: the seconds that are too long.
        """
        if silent_s < hang_s / 2:
            self._begin = None
        elif self._begin is None:
            self._begin = effort_of(pid, now)
        begin = self._begin
        return silent_s > hang_s and begin is not None and effort_of(pid, now).idle_since(begin)


def why_hung(
    beat: Heartbeat | None, silent_s: float, now: float, hang_s: float, *, last: bool, idle: bool
) -> str:
    """Why a server that was ready must be killed. Pure.

    Slow is not hung. A process that gives no sign of life and does not even work hangs. One that
    works is given very long, and for ever if it is the last server of its model: whoever has no
    other answer is better served late.

    Args:
        beat: its heartbeat; None if it writes none.
        silent_s: seconds since its last good health check, for a server without a heartbeat.
        now: of the monotonic clock, in seconds.
        hang_s: seconds without a sign of life that are too many.
        last: whether no other server of the model is ready.
        idle: whether its process used no processor time in its silence and did not wait for any.

    Returns:
        The reason; "" if it does not hang.
    """
    silence = silent_s if beat is None else beat.silent_s(now)
    if silence > hang_s and idle:
        return f"gave no sign of life for {silence:.0f} s and was killed"
    stuck = silence if beat is None else max(silence, beat.stuck_s(now))
    if stuck > STUCK * hang_s and not last:
        return f"got no further for {stuck:.0f} s and was killed"
    return ""


def is_ready(port: int, pid: int | None) -> bool:
    """Whether a server answers that it is ready.

    Args:
        port: the port of the server.
        pid: the process that must listen there; None skips this check. Another program may have
            taken the port before the server listened, and would get the requests.
    """
    if pid is not None and not _listens(pid, port):
        return False
    connection = http.client.HTTPConnection(HOST, port, timeout=CHECK_S)
    try:
        connection.request("GET", READY.path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _listens(pid: int, port: int) -> bool:
    try:
        found = psutil.Process(pid).net_connections("tcp")
    except psutil.AccessDenied:
        return True  # the system does not tell who listens, so the answer alone counts
    except psutil.Error:
        return False
    return any(one.status == psutil.CONN_LISTEN and one.laddr[1] == port for one in found)

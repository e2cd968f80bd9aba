"""A sign of life that a server writes by itself, so that slow is told apart from hung.

A request for health waits behind the work of a busy server, and its silence is no sign of a
fault. A thread therefore writes every `PERIOD_S` seconds when the server last made progress. The
file has one line of JSON of a fixed length, which is written over in place: that works on a full
disk, and a reader of another process sees the old line or the new one.

All times are of `time.monotonic`, which the processes of one machine share.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import orjson
import structlog

PERIOD_S = 0.5
_LENGTH = 512  # bytes of the line


@dataclass(frozen=True)
class Heartbeat:
    """What a server says of itself.

    Attributes:
        pid: the process of the server.
        written_s: when this was written.
        loop_s: when the event loop last ran; it answers the requests for health.
        work_s: when work last went on: now where nothing is in work, else when a run of the model
            or another step last ended, or began after a pause.
        ready: whether the server takes requests.
        in_flight: the predictions in work or waiting.
        shed: the predictions refused for load since the start.
        counted: how often something was added to the metrics since the start; None where the
            server is of a release that does not say.
    """

    pid: int
    written_s: float
    loop_s: float
    work_s: float
    ready: bool
    in_flight: int
    shed: int
    counted: int | None = None

    @property
    def activity(self) -> tuple[int, int] | None:
        """What differs if the metrics may: a server asked for nothing has nothing new to tell."""
        return None if self.counted is None else (self.counted, self.in_flight)

    def silent_s(self, now: float) -> float:
        """For how long neither the process as a whole nor its event loop gave a sign."""
        return now - min(self.written_s, self.loop_s)

    def stuck_s(self, now: float) -> float:
        """For how long nothing that is in work has gone on."""
        return now - self.work_s


def read_heartbeat(path: Path) -> Heartbeat | None:
    """The last heartbeat in a file; None if there is none."""
    try:
        return Heartbeat(**orjson.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


class Activity:
    """Whether work goes on; every piece of it is done `with` this object, in any thread.

    Args:
        clock: tells the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._running = 0
        self._moved = clock()

    def __enter__(self) -> Self:
        """A piece of work begins."""
        with self._lock:
            if not self._running:
                self._moved = self._clock()
            self._running += 1
        return self

    def __exit__(self, *_: object) -> None:
        """It ended, well or not."""
        with self._lock:
            self._running -= 1
            self._moved = self._clock()

    @property
    def moved_s(self) -> float:
        """When work last went on: now if there is none."""
        with self._lock:
            return self._moved if self._running else self._clock()


class HeartbeatThread:
    """Writes heartbeats until the process ends.

    Args:
        path: the file.
        beat: gives the heartbeat of now; is called in the thread.
    """

    def __init__(self, path: Path, beat: Callable[[], Heartbeat]) -> None:
        self._path = path
        self._beat = beat

    def start(self) -> None:
        """Write the first heartbeat, and go on in a thread.

        A file that cannot be written is named in the log, and the server serves without it.
        """
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o644)
            os.pwrite(file, self._line(), 0)
        except OSError as error:
            log = structlog.get_logger("facemodels.serving")
            log.warning("no heartbeat", path=str(self._path), reason=error.strerror)
            return
        thread = threading.Thread(target=self._go_on, args=(file,), name="heartbeat", daemon=True)
        thread.start()

    def _go_on(self, file: int) -> None:
        while True:
            time.sleep(PERIOD_S)
            try:
                os.pwrite(file, self._line(), 0)
            except OSError:  # the next one may succeed; a reader sees that this one is missing
                continue

    def _line(self) -> bytes:
        return orjson.dumps(asdict(self._beat())).ljust(_LENGTH - 1) + b"\n"

"""One replica of one version: its process, and what is known of how it is."""

from __future__ import annotations

import math
import time
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from pathlib import Path

from facemodels.deployment.servers.backoff import Deaths, deaths_of
from facemodels.deployment.servers.death import cause_of_death
from facemodels.deployment.servers.health import (
    CHECK_S,
    HOST,
    Silence,
    beat_of,
    is_ready,
    why_hung,
)
from facemodels.deployment.servers.process import Process
from facemodels.serving.heartbeat import Heartbeat

STALE_S = 2.0  # a server without a good check for so long is not ready
_EVERY_S = 0.5  # between two checks of a ready server; others are checked all the time
_LOAD_S = 10.0  # how long a server counts as overloaded after it refused a request


@dataclass
class Replica:
    """One replica of one version, and what is known of its process.

    All times are of the monotonic clock, in seconds.

    Attributes:
        id: the version, for example `rec-facenet-v2.1.3`.
        path: the file of its process; log and heartbeat lie beside it.
        process: its process; None while it has none.
        look: the health check that goes on.
        looked: when the last health check began.
        good: when the last good health check began, or the last good heartbeat was written.
        begun: when it was started or adopted.
        heard: silence before this time does not count.
        was_ready: whether its process was ever ready.
        unwanted: since when no request goes to it; None as long as it is wanted.
        tried: when a start was tried last.
        problem: why it is not ready, in words.
        beat: the last heartbeat of this process.
        silence: whether it works while it says nothing.
        shed: the requests that it has refused for load.
        overloaded: when it refused one last.
        deaths: how often it died soon after its start.
    """

    id: str
    path: Path
    process: Process | None = None
    look: Future[bool] | None = None
    looked: float = 0.0
    good: float = 0.0
    begun: float = field(default_factory=time.monotonic)
    heard: float = 0.0
    was_ready: bool = False
    unwanted: float | None = None
    tried: float = -math.inf
    problem: str = ""
    beat: Heartbeat | None = None
    silence: Silence = field(default_factory=Silence)
    shed: int = 0
    overloaded: float = -math.inf
    deaths: Deaths = field(init=False)

    def __post_init__(self) -> None:
        self.deaths = deaths_of(self.path)

    @property
    def port(self) -> int:
        """The port of its process; 0 while it has none."""
        return int(self.process.facts["port"]) if self.process else 0

    @property
    def url(self) -> str:
        """The address of its process."""
        return f"http://{HOST}:{self.port}"

    @property
    def log(self) -> Path:
        """The file with the output of its processes."""
        return self.path.with_suffix(".log")

    @property
    def beat_path(self) -> Path:
        """The file with the heartbeat of its process."""
        return self.path.with_suffix(".beat")

    def ready(self, now: float) -> bool:
        """Whether it takes requests."""
        return self.process is not None and self.good > 0 and now - self.good < STALE_S

    def overload(self, now: float) -> str:
        """What an operator must know of its load; "" if it refuses no requests for that."""
        if self.beat is None or now - self.overloaded >= _LOAD_S:
            return ""
        return f"overloaded: {self.beat.in_flight} in flight, add replicas"

    def check(self, now: float, pool: Executor) -> None:
        """Read the heartbeat; without one begin a health check if it is due, and take over the
        result of the last one.
        """
        self.beat = beat_of(self.beat_path, self.process.pid) if self.process else None
        if self.beat is not None:
            self._take(self.beat, now)
            return
        if self.look is not None and self.look.done():
            if self.look.result():
                self.good, self.was_ready, self.problem = self.looked, True, ""
            elif self.good:
                # One failed check alone does not make it unready.
                self.good = min(self.good, now - STALE_S + CHECK_S)
            self.look = None
        if self.look is None and (not self.good or now - self.looked >= _EVERY_S):
            self.looked = now
            known = self.process.pid if self.process and not self.good else None
            self.look = pool.submit(is_ready, self.port, known)

    def _take(self, beat: Heartbeat, now: float) -> None:
        """Take over what a server says of itself."""
        if not beat.ready:
            self.good = min(self.good, now - STALE_S)
            return
        self.good, self.was_ready = now - beat.silent_s(now), True
        if self.ready(now):
            self.problem = ""
        if beat.shed > self.shed:
            self.overloaded = now
        self.shed = beat.shed

    def excuse_silence(self, now: float) -> None:
        """Count it as silent from now on only, as its controller did not listen before."""
        self.heard, self.look = now, None
        self.good = now if self.good else 0.0

    def why_hung(self, now: float, start_s: float, hang_s: float, *, last: bool) -> str:
        """Why its process must be killed; "" if it must not.

        Args:
            now: of the monotonic clock.
            start_s: seconds in which a new process must become ready.
            hang_s: see `health.why_hung`.
            last: whether no other server of the model is ready.
        """
        assert self.process is not None  # noqa: S101  (the caller checked it)
        silent = now - max(self.good, self.begun, self.heard)
        if not self.was_ready:
            late = silent > start_s
            return f"was not ready after {silent:.0f} s and was killed" if late else ""
        idle = self.silence.idle(self.process.pid, silent, now, hang_s)
        return why_hung(self.beat, silent, now, hang_s, last=last, idle=idle)

    def forget_process(self) -> None:
        """Take over that its process ended: `problem` says how, if nothing was known before."""
        assert self.process is not None  # noqa: S101  (the caller checked it)
        begun = int(self.process.facts.get("log_bytes", 0))
        self.problem = self.problem or cause_of_death(self.process.exit_code, self.log, begun)
        self.process, self.look, self.good, self.was_ready = None, None, 0.0, False
        self.beat, self.silence = None, Silence()
        self.path.unlink(missing_ok=True)

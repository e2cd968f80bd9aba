"""Keeps the model servers of an environment running: one process for each replica of a version.

A restarted controller finds everything again: it adopts the processes by their files, and the
packages lie beside them.
"""

from __future__ import annotations

import json
import math
import socket
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facemodels.deployment.servers.backoff import Backoff, deaths_of, keep_deaths
from facemodels.deployment.servers.command import ServerFiles, serve_command
from facemodels.deployment.servers.conduct import ConductBook
from facemodels.deployment.servers.health import (
    CHECK_S,
    HOST,
    Effort,
    beat_of,
    effort_of,
    is_ready,
    why_hung,
)
from facemodels.deployment.servers.packages import Packages
from facemodels.deployment.servers.probe_secret import probe_secret
from facemodels.deployment.servers.process import Process, adopt, start, strays
from facemodels.deployment.settings import Environment
from facemodels.errors import FacemodelsError
from facemodels.files import write_json
from facemodels.monitoring.analysis.conduct import ServerConduct
from facemodels.monitoring.metrics.reading import Series
from facemodels.monitoring.metrics.scraper import ScrapeTarget
from facemodels.names import ModelId
from facemodels.registry.state import Entry
from facemodels.serving.heartbeat import Heartbeat
from facemodels.serving.http.probe_mark import VARIABLE

_EVERY_S = 0.5  # between two checks of a ready server; others are checked all the time
_WORDS = 200  # lines at the end of a log in which the cause of a death is looked for
_STALE_S = 2.0  # a server without a good check for so long is not ready
_LOAD_S = 10.0  # how long a server counts as overloaded after it refused a request


@dataclass
class _Slot:
    """One replica of one version, and what is known of its process.

    All times are of the monotonic clock, in seconds.
    """

    id: str
    path: Path
    process: Process | None = None
    look: Future[bool] | None = None
    looked: float = 0.0  # when the last health check began
    good: float = 0.0  # when the last good health check began
    begun: float = field(default_factory=time.monotonic)  # when it was started or adopted
    heard: float = 0.0  # silence before this time does not count
    was_ready: bool = False
    unwanted: float | None = None  # since when no request goes to it
    tried: float = -math.inf  # when a start was tried last
    problem: str = ""
    beat: Heartbeat | None = None  # the last one of this process
    effort: Effort | None = None  # at the beginning of its silence
    shed: int = 0  # the requests that it has refused for load
    overloaded: float = -math.inf  # when it refused one last

    @property
    def port(self) -> int:
        return int(self.process.facts["port"]) if self.process else 0

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def ready(self, now: float) -> bool:
        return self.process is not None and self.good > 0 and now - self.good < _STALE_S


class ServerSupervisor:
    """Starts, checks, restarts and ends the servers of an environment.

    Args:
        folder: the folder of the processes' files.
        packages: gives the package of each version.
        root: the root folder of the repository.
        settings: the settings of the environment.
    """

    def __init__(self, folder: Path, packages: Packages, root: Path, settings: Environment) -> None:
        self._folder = folder
        self._packages = packages
        self._root = root
        self._settings = settings
        self._slots: dict[str, _Slot] = {}
        self._written: dict[str, dict[str, Any]] = {}  # the last about/<id>.json of each version
        self._pool = ThreadPoolExecutor(16, "health")
        self._backoff = Backoff(settings.backoff_s, settings.backoff_max_s, settings.start_s)
        self._tended = time.monotonic()
        self._conduct = ConductBook(folder / "conduct")
        self._adopt_all()

    def _adopt_all(self) -> None:
        """Adopt the servers that an earlier controller started, and end strays."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(self._folder.glob("*.json")):
            process = adopt(path)
            if process is not None and "model_id" in process.facts:
                slot = _Slot(str(process.facts["model_id"]), path, process)
                slot.was_ready = True
                self._slots[path.stem] = slot
        for stray in strays(self._folder):
            stray.end(0)

    def configure(self, settings: Environment) -> None:
        """Take over changed settings; running servers keep those that they were started with."""
        self._settings = settings

    def tend(
        self, wanted: Mapping[str, Entry], busy: set[str], terms: Mapping[str, str] | None = None
    ) -> None:
        """Take one step: start, restart and end servers where it is due.

        Args:
            wanted: the versions that must run.
            busy: the versions that may still get requests.
            terms: the tag by which a version has its place; its conduct is kept since then.
        """
        now = time.monotonic()
        passed = min(now - self._tended, _STALE_S)  # a pause of this process counts for nothing
        self._excuse_silence(now)
        for identity, entry in wanted.items():
            for number in range(self._settings.replicas):
                name = f"{identity}-{number}"
                slot = self._slots.setdefault(name, _Slot(identity, self._path(name)))
                slot.unwanted = None
                try:
                    self._write_about(entry)
                    self._tend_one(slot, entry)
                except (FacemodelsError, OSError) as error:  # the other servers are still tended
                    slot.problem = str(error)
        for name, slot in list(self._slots.items()):
            if slot.id not in wanted or self._number(name) >= self._settings.replicas:
                self._end_unwanted(name, slot, busy=slot.id in busy)
        self._note_conduct(terms or {}, passed)

    def _note_conduct(self, terms: Mapping[str, str], passed: float) -> None:
        ready = self.urls()
        self._conduct.keep(terms)
        for identity, event in terms.items():
            self._conduct.begin(identity, event)
            if identity not in ready:
                self._conduct.waited(identity, passed)

    def _excuse_silence(self, now: float) -> None:
        """After a pause of this process, count no server as silent until it is checked again."""
        if now - self._tended > min(_STALE_S, self._settings.hang_s / 2):
            for slot in self._slots.values():
                slot.heard, slot.look = now, None
                slot.good = now if slot.good else 0.0
        self._tended = now

    def _number(self, name: str) -> int:
        return int(name.rpartition("-")[2])

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _write_about(self, entry: Entry) -> None:
        """Write what the registry says of a version, for its /api/model/info."""
        path = self._about(entry.id)
        value = entry.as_json()
        if self._written.get(entry.id) != value:
            write_json(path, value)
            self._written[entry.id] = value

    def _about(self, identity: str) -> Path:
        return self._folder / "about" / f"{identity}.json"

    def _tend_one(self, slot: _Slot, entry: Entry) -> None:
        now = time.monotonic()
        if slot.process is not None and not slot.process.alive():
            self._count_death(slot, now)
        if slot.process is None:
            self._begin(slot, entry, now)
            return
        self._look(slot, now)
        hung = self._why_hung(slot, now)
        if hung:
            slot.problem = hung
            slot.process.end(0)
            self._count_death(slot, now)

    def _why_hung(self, slot: _Slot, now: float) -> str:
        """Why a server must be killed; "" if it must not."""
        assert slot.process is not None  # noqa: S101  (the caller checked it)
        silent = now - max(slot.good, slot.begun, slot.heard)
        if not slot.was_ready:
            late = silent > self._settings.start_s
            return f"was not ready after {silent:.0f} s and was killed" if late else ""
        hang_s = self._settings.hang_s
        if silent < hang_s / 2:
            slot.effort = None
        elif slot.effort is None:
            slot.effort = effort_of(slot.process.pid, now)
        idle = (
            silent > hang_s
            and slot.effort is not None
            and effort_of(slot.process.pid, now).idle_since(slot.effort)
        )
        return why_hung(slot.beat, silent, now, hang_s, last=self._is_last(slot, now), idle=idle)

    def _is_last(self, slot: _Slot, now: float) -> bool:
        """Whether no other server of the model is ready."""
        model = ModelId.parse(slot.id).name
        others = (one for one in self._slots.values() if one is not slot and one.ready(now))
        return all(ModelId.parse(one.id).name != model for one in others)

    def _count_death(self, slot: _Slot, now: float) -> None:
        """Count the death of a server and forget its process."""
        assert slot.process is not None  # noqa: S101  (the callers checked it)
        lived = now - slot.begun
        deaths = self._backoff.died(deaths_of(slot.path), lived, time.time())
        slot.problem = slot.problem or _last_words(self._log(slot))
        if not slot.was_ready:
            self._packages.suspect(slot.id)
        self._conduct.died(slot.id, slot.problem)
        slot.process, slot.look, slot.good, slot.was_ready = None, None, 0.0, False
        slot.beat, slot.effort = None, None
        slot.path.unlink(missing_ok=True)
        keep_deaths(slot.path, deaths)

    def _begin(self, slot: _Slot, entry: Entry, now: float) -> None:
        if self._backoff.wait_s(deaths_of(slot.path), time.time()) > 0:
            return
        if now - slot.tried < self._settings.backoff_s:
            return  # this pause holds also where a full disk keeps no count of deaths
        package = self._packages.folder(entry)
        if package is None:
            slot.problem = self._packages.problem(slot.id) or slot.problem
            return
        slot.tried = now
        port = self._port()
        files = ServerFiles(package, self._about(slot.id), self._beat(slot))
        command = serve_command(slot.id, port, files, self._root, self._settings)
        facts = {"port": port, "model_id": slot.id}
        try:
            slot.process = start(
                slot.path, command, log=self._log(slot), facts=facts, folder=self._root,
                environment={VARIABLE: probe_secret(self._folder)},
            )  # fmt: skip
        except FacemodelsError as error:
            slot.problem = str(error)
            return
        slot.begun, slot.problem = now, ""

    def _port(self) -> int:
        """Choose a port that is free and is not assigned to a server that does not listen yet."""
        promised = {slot.port for slot in self._slots.values()}
        return next(port for port in iter(_free_port, 0) if port not in promised)

    def _log(self, slot: _Slot) -> Path:
        return slot.path.with_suffix(".log")

    def _beat(self, slot: _Slot) -> Path:
        return slot.path.with_suffix(".beat")

    def _look(self, slot: _Slot, now: float) -> None:
        """Read the heartbeat; without one begin a health check if it is due, and take over the
        result of the last one.
        """
        slot.beat = beat_of(self._beat(slot), slot.process.pid) if slot.process else None
        if slot.beat is not None:
            self._take(slot, slot.beat, now)
            return
        if slot.look is not None and slot.look.done():
            if slot.look.result():
                slot.good, slot.was_ready, slot.problem = slot.looked, True, ""
            elif slot.good:
                slot.good = min(
                    slot.good, now - _STALE_S + CHECK_S
                )  # one failed check alone does not make it unready
            slot.look = None
        if slot.look is None and (not slot.good or now - slot.looked >= _EVERY_S):
            slot.looked = now
            known = slot.process.pid if slot.process and not slot.good else None
            slot.look = self._pool.submit(is_ready, slot.port, known)

    def _take(self, slot: _Slot, beat: Heartbeat, now: float) -> None:
        """Take over what a server says of itself."""
        if not beat.ready:
            slot.good = min(slot.good, now - _STALE_S)
            return
        slot.good, slot.was_ready = now - beat.silent_s(now), True
        if slot.ready(now):
            slot.problem = ""
        if beat.shed > slot.shed:
            slot.overloaded = now
        slot.shed = beat.shed

    def _end_unwanted(self, name: str, slot: _Slot, *, busy: bool) -> None:
        """End a server that is not wanted, `drain_s` after its last request may have come."""
        now = time.monotonic()
        if slot.process is None or not slot.process.alive():
            slot.path.unlink(missing_ok=True)
            del self._slots[name]
            return
        self._look(slot, now)  # it may have to stand in for another version
        if busy:
            slot.unwanted = None
            return
        slot.unwanted = slot.unwanted or now
        if now - slot.unwanted >= self._settings.drain_s:
            self._pool.submit(slot.process.end, self._settings.drain_s + 20)
            del self._slots[name]

    def urls(self) -> dict[str, tuple[str, ...]]:
        """The URLs of the servers that are ready, by version."""
        now = time.monotonic()
        found: dict[str, list[str]] = {}
        for _, slot in sorted(self._slots.items()):
            if slot.ready(now):
                found.setdefault(slot.id, []).append(slot.url)
        return {identity: tuple(urls) for identity, urls in found.items()}

    def conduct(self) -> dict[str, ServerConduct]:
        """How the servers behaved since their version has its present place, by version."""
        return self._conduct.all()

    def overloads(self) -> dict[str, str]:
        """The servers that refuse requests for load, as texts for an operator."""
        now = time.monotonic()
        return {
            f"load {name}": f"overloaded: {slot.beat.in_flight} in flight, add replicas"
            for name, slot in sorted(self._slots.items())
            if slot.beat is not None and now - slot.overloaded < _LOAD_S
        }

    def running_urls(self) -> set[str]:
        """The URLs of the servers whose process exists, ready or not."""
        return {slot.url for slot in self._slots.values() if slot.process is not None}

    def targets(self) -> list[ScrapeTarget]:
        """Every running server as a target for the scraper."""
        return [
            ScrapeTarget(
                slot.url,
                Series.of(slot.id),
                f"{name}@{slot.process.pid}-{slot.process.started}",
                slot.process.started_s,
            )
            for name, slot in sorted(self._slots.items())
            if slot.process is not None
        ]

    def describe(self) -> list[dict[str, Any]]:
        """The state of every server, for `facemodels status`."""
        now = time.monotonic()
        return [
            {
                "model_id": slot.id,
                "replica": self._number(name),
                "pid": slot.process.pid if slot.process else None,
                "port": slot.port or None,
                "ready": slot.ready(now),
                "restarts": deaths_of(slot.path).quick,
                "problem": slot.problem,
            }
            for name, slot in sorted(self._slots.items())
        ]

    def close(self) -> None:
        """Stop checking; the servers keep running."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def end(self) -> None:
        """End all servers and wait for each."""
        alive = [slot.process for slot in self._slots.values() if slot.process is not None]
        for done in [self._pool.submit(process.end, 25.0) for process in alive]:
            done.result()
        self._slots.clear()


def _free_port() -> int:
    """A port on which no program listens now; a server that loses it is started again."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _last_words(log: Path) -> str:
    """The last line of a server's log that tells of trouble, or else its last line.

    The line of a request that was answered well says nothing of a death.
    """
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    told = [line for line in lines[-_WORDS:] if line.strip()]
    trouble = (line for line in reversed(told) if not _is_usual(line))
    return next(trouble, told[-1] if told else "")[:300]


def _is_usual(line: str) -> bool:
    """Whether a line of a log is one of everyday business."""
    try:
        found = json.loads(line)
    except ValueError:
        return False
    return isinstance(found, dict) and found.get("level") in ("info", "debug")

"""Keeps the model servers of an environment running: one process for each replica of a version.

A restarted controller finds everything again: it adopts the processes by their files, and the
packages lie beside them.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import structlog

from facemodels.deployment.servers.backoff import Backoff, Deaths, forget_deaths, keep_deaths
from facemodels.deployment.servers.command import ServerFiles, serve_command
from facemodels.deployment.servers.conduct import ConductBook
from facemodels.deployment.servers.health import HOST
from facemodels.deployment.servers.packages import Packages
from facemodels.deployment.servers.probe_secret import probe_secret
from facemodels.deployment.servers.process import LOG_BYTES, adopt, start, strays
from facemodels.deployment.servers.replica import STALE_S, Replica
from facemodels.deployment.settings import Environment
from facemodels.errors import FacemodelsError
from facemodels.files import write_json
from facemodels.monitoring.analysis.conduct import ServerConduct
from facemodels.monitoring.metrics.reading import Series
from facemodels.monitoring.metrics.scraper import ScrapeTarget
from facemodels.names import ModelId
from facemodels.registry.state import Entry
from facemodels.serving.http.probe_mark import VARIABLE


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
        self._slots: dict[str, Replica] = {}
        self._written: dict[str, dict[str, Any]] = {}  # the last about/<id>.json of each version
        self._pool = ThreadPoolExecutor(16, "health")
        self._backoff = Backoff(settings.backoff_s, settings.backoff_max_s, settings.start_s)
        self._tended = time.monotonic()
        self._conduct = ConductBook(folder / "conduct")
        self._log = structlog.get_logger("facemodels.deployment")
        self._adopt_all()

    def _adopt_all(self) -> None:
        """Adopt the servers that an earlier controller started, and end strays."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(self._folder.glob("*.json")):
            process = adopt(path)
            if process is not None and "model_id" in process.facts:
                slot = Replica(str(process.facts["model_id"]), path, process)
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
        passed = min(now - self._tended, STALE_S)  # a pause of this process counts for nothing
        self._excuse_silence(now)
        for identity, entry in wanted.items():
            for number in range(self._settings.replicas):
                slot = self._slot(f"{identity}-{number}", identity)
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

    def _slot(self, name: str, identity: str) -> Replica:
        if name not in self._slots:
            self._slots[name] = Replica(identity, self._path(name))
        return self._slots[name]

    def _note_conduct(self, terms: Mapping[str, str], passed: float) -> None:
        ready = self.urls()
        self._conduct.keep(terms)
        for identity, event in terms.items():
            if self._conduct.begin(identity, event):
                self._forgive(identity)
            if identity not in ready:
                self._conduct.waited(identity, passed)

    def _forgive(self, identity: str) -> None:
        """Forget how often the servers of a version died before it was deployed anew."""
        for slot in self._slots.values():
            if slot.id == identity and slot.deaths.quick:
                slot.deaths = Deaths()
                forget_deaths(slot.path)

    def _excuse_silence(self, now: float) -> None:
        """After a pause of this process, count no server as silent until it is checked again."""
        if now - self._tended > min(STALE_S, self._settings.hang_s / 2):
            for slot in self._slots.values():
                slot.excuse_silence(now)
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

    def _tend_one(self, slot: Replica, entry: Entry) -> None:
        now = time.monotonic()
        if slot.process is not None and not slot.process.alive():
            self._count_death(slot, now)
        if slot.process is None:
            self._begin(slot, entry, now)
            return
        slot.check(now, self._pool)
        settings = self._settings
        last = self._is_last(slot, now)
        hung = slot.why_hung(now, settings.start_s, settings.hang_s, last=last)
        if hung:
            slot.problem = hung
            slot.process.end(0)
            self._count_death(slot, now)

    def _is_last(self, slot: Replica, now: float) -> bool:
        """Whether no other server of the model is ready."""
        model = ModelId.parse(slot.id).name
        others = (one for one in self._slots.values() if one is not slot and one.ready(now))
        return all(ModelId.parse(one.id).name != model for one in others)

    def _count_death(self, slot: Replica, now: float) -> None:
        """Count the death of a server and forget its process."""
        assert slot.process is not None  # noqa: S101  (the callers checked it)
        pid, was_ready = slot.process.pid, slot.was_ready
        slot.deaths = self._backoff.died(slot.deaths, now - slot.begun, time.time())
        slot.forget_process()
        if not was_ready:
            self._packages.suspect(slot.id)
        self._conduct.died(slot.id, slot.problem)
        self._log.error(
            "server died", model_id=slot.id, pid=pid, cause=slot.problem, quick=slot.deaths.quick,
            again_s=round(self._backoff.wait_s(slot.deaths, time.time()), 1),
        )  # fmt: skip
        keep_deaths(slot.path, slot.deaths)

    def _begin(self, slot: Replica, entry: Entry, now: float) -> None:
        if self._backoff.wait_s(slot.deaths, time.time()) > 0:
            return
        if now - slot.tried < self._settings.backoff_s:
            return  # this pause holds also where a full disk keeps no count of deaths
        package = self._packages.folder(entry)
        if package is None:
            slot.problem = self._packages.problem(slot.id) or slot.problem
            return
        slot.tried = now
        port = self._port()
        files = ServerFiles(package, self._about(slot.id), slot.beat_path)
        command = serve_command(slot.id, port, files, self._root, self._settings)
        facts = {"port": port, "model_id": slot.id, "log_bytes": _length(slot.log)}
        try:
            slot.process = start(
                slot.path, command, log=slot.log, facts=facts, folder=self._root,
                environment={VARIABLE: probe_secret(self._folder)},
            )  # fmt: skip
        except FacemodelsError as error:
            slot.problem = str(error)
            return
        slot.begun, slot.problem = now, ""
        self._log.info("server started", model_id=slot.id, pid=slot.process.pid, port=port)

    def _port(self) -> int:
        """Choose a port that is free and is not assigned to a server that does not listen yet."""
        promised = {slot.port for slot in self._slots.values()}
        return next(port for port in iter(_free_port, 0) if port not in promised)

    def _end_unwanted(self, name: str, slot: Replica, *, busy: bool) -> None:
        """End a server that is not wanted, `drain_s` after its last request may have come."""
        now = time.monotonic()
        if slot.process is None or not slot.process.alive():
            slot.path.unlink(missing_ok=True)
            forget_deaths(slot.path)
            del self._slots[name]
            return
        slot.check(now, self._pool)  # it may have to stand in for another version
        if busy:
            slot.unwanted = None
            return
        slot.unwanted = slot.unwanted or now
        if now - slot.unwanted >= self._settings.drain_s:
            self._log.info("server ends", model_id=slot.id, pid=slot.process.pid)
            self._pool.submit(slot.process.end, self._settings.drain_s + 20)
            forget_deaths(slot.path)
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
        found = {f"load {name}": one.overload(now) for name, one in sorted(self._slots.items())}
        return {name: text for name, text in found.items() if text}

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
                slot.beat.activity if slot.beat else None,
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
                "restarts": max(slot.deaths.quick, self._deaths(slot.id)),
                "next_start": self._next_start(slot),
                "problem": slot.problem,
            }
            for name, slot in sorted(self._slots.items())
        ]

    def _deaths(self, identity: str) -> int:
        """How often a server of a version died since the version has its present place."""
        known = self._conduct.all().get(identity)
        return known.deaths if known is not None else 0

    def _next_start(self, slot: Replica) -> int | None:
        """When a server that died is started again, in seconds since 1970; None if it runs."""
        return None if slot.process else round(self._backoff.next_start(slot.deaths))

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


def _length(log: Path) -> int:
    """The length in bytes that a log has when the next process begins to write to it."""
    try:
        length = log.stat().st_size
    except OSError:
        return 0
    return length if length <= LOG_BYTES else 0  # a longer one is renamed

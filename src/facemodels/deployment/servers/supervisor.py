"""The model servers of an environment: one process a replica of a version, kept alive.

Nothing here is remembered that a restart could not find again: processes are adopted by their
files, packages lie beside them.
"""

from __future__ import annotations

import http.client
import math
import socket
import sys
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from facemodels.deployment.servers import process as processes
from facemodels.deployment.servers.packages import Packages
from facemodels.deployment.servers.process import Backoff, Process
from facemodels.deployment.settings import Environment
from facemodels.errors import FacemodelsError
from facemodels.files import write_json
from facemodels.monitoring.metrics.reading import Series
from facemodels.monitoring.metrics.scraper import ScrapeTarget
from facemodels.registry.state import Entry

COMMAND = (str(Path(sys.executable).with_name("facemodels")), "serve")
_HOST = "127.0.0.1"
_CHECK_S = 0.5  # of one look at a server's health
_EVERY_S = 0.5  # between two looks at one that is ready; the others are looked at all the time
_STALE_S = 2.0  # without a good look, a server is not ready


@dataclass
class _Slot:
    """One replica of one version."""

    id: str
    path: Path
    process: Process | None = None
    look: Future[bool] | None = None
    looked: float = 0.0  # monotonic, as all times here
    good: float = 0.0  # last good look
    begun: float = field(default_factory=time.monotonic)  # or adopted
    heard: float = 0.0  # until when a silence does not count
    was_ready: bool = False
    unwanted: float | None = None
    tried: float = -math.inf  # to start it
    problem: str = ""

    @property
    def port(self) -> int:
        return int(self.process.facts["port"]) if self.process else 0

    @property
    def url(self) -> str:
        return f"http://{_HOST}:{self.port}"

    def ready(self, now: float) -> bool:
        return self.process is not None and self.good > 0 and now - self.good < _STALE_S


class ServerSupervisor:
    """All servers of an environment.

    Args:
        folder: of their files.
        packages: where their packages come from.
        root: of the repository.
        settings: of the environment.
    """

    def __init__(self, folder: Path, packages: Packages, root: Path, settings: Environment) -> None:
        self._folder = folder
        self._packages = packages
        self._root = root
        self._settings = settings
        self._slots: dict[str, _Slot] = {}
        self._told: dict[str, dict[str, Any]] = {}  # what was written of each version last
        self._pool = ThreadPoolExecutor(16, "health")
        self._backoff = Backoff(settings.backoff_s, settings.backoff_max_s, settings.start_s)
        self._tended = time.monotonic()
        self._adopt_all()

    def _adopt_all(self) -> None:
        """Find the servers that a controller before us started; end what nobody knows."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(self._folder.glob("*.json")):
            process = processes.adopt(path)
            if process is not None and "model_id" in process.facts:
                slot = _Slot(str(process.facts["model_id"]), path, process)
                slot.was_ready = True
                self._slots[path.stem] = slot
        for stray in processes.strays(self._folder):
            stray.end(0)

    def configure(self, settings: Environment) -> None:
        """Take over changed settings; running servers keep those they were started with."""
        self._settings = settings

    def tend(self, wanted: Mapping[str, Entry], busy: set[str]) -> None:
        """Start, restart and end servers.

        Args:
            wanted: versions that shall run.
            busy: versions that get requests, or may get some still.
        """
        self._wake_up(time.monotonic())
        for identity, entry in wanted.items():
            for number in range(self._settings.replicas):
                name = f"{identity}-{number}"
                slot = self._slots.setdefault(name, _Slot(identity, self._path(name)))
                slot.unwanted = None
                try:
                    self._write_about(entry)
                    self._tend_one(slot, entry)
                except (FacemodelsError, OSError) as error:  # the others are looked after still
                    slot.problem = str(error)
        for name, slot in list(self._slots.items()):
            if slot.id not in wanted or self._number(name) >= self._settings.replicas:
                self._dismiss(name, slot, busy=slot.id in busy)

    def _wake_up(self, now: float) -> None:
        """Who was stopped itself has not looked: what was known before counts until it does."""
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
        """What the registry says of a version now, for its /api/model/info."""
        path = self._about(entry.id)
        value = entry.as_json()
        if self._told.get(entry.id) != value:
            write_json(path, value)
            self._told[entry.id] = value

    def _about(self, identity: str) -> Path:
        return self._folder / "about" / f"{identity}.json"

    def _tend_one(self, slot: _Slot, entry: Entry) -> None:
        now = time.monotonic()
        if slot.process is not None and not slot.process.alive():
            self._bury(slot, now)
        if slot.process is None:
            self._begin(slot, entry, now)
            return
        self._look(slot, now)
        silent = now - max(slot.good, slot.begun, slot.heard)
        allowed = self._settings.hang_s if slot.was_ready else self._settings.start_s
        if silent > allowed:
            slot.problem = f"gave no answer for {silent:.0f} s and was killed"
            slot.process.end(0)
            self._bury(slot, now)

    def _bury(self, slot: _Slot, now: float) -> None:
        """Note a death."""
        assert slot.process is not None  # noqa: S101  (the callers' branch)
        lived = now - slot.begun
        deaths = self._backoff.died(processes.deaths_of(slot.path), lived, time.time())
        slot.problem = slot.problem or _last_words(self._log(slot))
        if not slot.was_ready:
            self._packages.suspect(slot.id)
        slot.process, slot.look, slot.good, slot.was_ready = None, None, 0.0, False
        slot.path.unlink(missing_ok=True)
        processes.keep_deaths(slot.path, deaths)

    def _begin(self, slot: _Slot, entry: Entry, now: float) -> None:
        if self._backoff.wait_s(processes.deaths_of(slot.path), time.time()) > 0:
            return
        if now - slot.tried < self._settings.backoff_s:
            return  # where the disk is full, deaths are not kept
        package = self._packages.folder(entry)
        if package is None:
            slot.problem = self._packages.problem(slot.id) or slot.problem
            return
        slot.tried = now
        command = [
            *COMMAND, str(package), "--host", _HOST, "--port", str(self._port()),
            "--threads", str(self._settings.threads), "--about", str(self._about(slot.id)),
        ]  # fmt: skip
        config = self._root / self._settings.serving
        command += ["--config", str(config)] if config.is_file() else []
        if self._settings.tokens:
            command += ["--tokens", str(self._root / self._settings.tokens)]
        facts = {"port": int(command[command.index("--port") + 1]), "model_id": slot.id}
        try:
            slot.process = processes.start(
                slot.path, command, log=self._log(slot), facts=facts, folder=self._root
            )
        except FacemodelsError as error:
            slot.problem = str(error)
            return
        slot.begun, slot.problem = now, ""

    def _port(self) -> int:
        """Free, and promised to no server that has not come to listen yet."""
        promised = {slot.port for slot in self._slots.values()}
        return next(port for port in iter(_free_port, 0) if port not in promised)

    def _log(self, slot: _Slot) -> Path:
        return slot.path.with_suffix(".log")

    def _look(self, slot: _Slot, now: float) -> None:
        """Ask a server how it is, without waiting for the answer."""
        if slot.look is not None and slot.look.done():
            if slot.look.result():
                slot.good, slot.was_ready, slot.problem = slot.looked, True, ""
            elif slot.good:
                slot.good = min(slot.good, now - _STALE_S + _CHECK_S)  # one more chance
            slot.look = None
        if slot.look is None and (not slot.good or now - slot.looked >= _EVERY_S):
            slot.looked = now
            known = slot.process.pid if slot.process and not slot.good else None
            slot.look = self._pool.submit(_is_ready, slot.port, known)

    def _dismiss(self, name: str, slot: _Slot, *, busy: bool) -> None:
        """End a server that nobody wants, some time after its last request may have come."""
        now = time.monotonic()
        if slot.process is None or not slot.process.alive():
            slot.path.unlink(missing_ok=True)
            del self._slots[name]
            return
        if busy:
            slot.unwanted = None
            return
        slot.unwanted = slot.unwanted or now
        if now - slot.unwanted >= self._settings.drain_s:
            self._pool.submit(slot.process.end, self._settings.drain_s + 20)
            del self._slots[name]

    def urls(self) -> dict[str, tuple[str, ...]]:
        """Addresses of the servers that are ready, by version."""
        now = time.monotonic()
        found: dict[str, list[str]] = {}
        for _, slot in sorted(self._slots.items()):
            if slot.ready(now):
                found.setdefault(slot.id, []).append(slot.url)
        return {identity: tuple(urls) for identity, urls in found.items()}

    def targets(self) -> list[ScrapeTarget]:
        """Every server that runs, to be scraped."""
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
        """Every server, for `facemodels status`."""
        now = time.monotonic()
        return [
            {
                "model_id": slot.id,
                "replica": self._number(name),
                "pid": slot.process.pid if slot.process else None,
                "port": slot.port or None,
                "ready": slot.ready(now),
                "restarts": processes.deaths_of(slot.path).quick,
                "problem": slot.problem,
            }
            for name, slot in sorted(self._slots.items())
        ]

    def close(self) -> None:
        """Look at nobody any more; the servers go on."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def end(self) -> None:
        """End all servers, each in order."""
        alive = [slot.process for slot in self._slots.values() if slot.process is not None]
        for done in [self._pool.submit(process.end, 25.0) for process in alive]:
            done.result()
        self._slots.clear()


def _is_ready(port: int, pid: int | None) -> bool:
    """Whether a server says so; at its first time, whether it is that process that says so.

    Between our choice of a port and the server's start another program may have taken it, which
    would get the requests.
    """
    if pid is not None and not _listens(pid, port):
        return False
    connection = http.client.HTTPConnection(_HOST, port, timeout=_CHECK_S)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _listens(pid: int, port: int) -> bool:
    try:
        found = psutil.Process(pid).net_connections("tcp")
    except psutil.AccessDenied:
        return True  # where a system does not tell us, the answer has to do
    except psutil.Error:
        return False
    return any(one.status == psutil.CONN_LISTEN and one.laddr[1] == port for one in found)


def _free_port() -> int:
    """A port that nobody has at this moment; a server that comes too late is started again."""
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def _last_words(log: Path) -> str:
    """The last line of a log, which says why a server ended."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line[:300] for line in reversed(lines) if line.strip()), "")

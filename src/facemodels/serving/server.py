"""The process: sockets, signals, the end."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

import structlog
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from facemodels.errors import InputError
from facemodels.package.load import Package
from facemodels.serving.app import create
from facemodels.serving.engine import Engine
from facemodels.serving.gate import is_loopback
from facemodels.serving.metrics import Metrics
from facemodels.serving.readiness import Readiness
from facemodels.serving.settings import Serving
from facemodels.serving.tokens import Tokens


@dataclass(frozen=True)
class Address:
    """Where to listen; port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 8000


class _Protocol(HttpToolsProtocol):
    """uvicorn's, with an end to waiting for the head of a request.

    uvicorn waits for ever for a client that sends its headers byte by byte ("slow loris").
    """

    header_s = 10.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_head()

    def _wait_for_head(self) -> None:
        self._late = self.loop.call_later(self.header_s, self._give_up)

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()

    def on_headers_complete(self) -> None:
        self._late.cancel()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing():
            self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._late.cancel()
        super().connection_lost(exc)


class _Server(uvicorn.Server):
    """uvicorn's, which says that it is not ready before it stops listening."""

    def __init__(self, config: uvicorn.Config, readiness: Readiness) -> None:
        super().__init__(config)
        self._readiness = readiness

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._readiness.ready = False
        super().handle_exit(sig, frame)


def serve_package(
    package: Package,
    settings: Serving,
    address: Address,
    *,
    threads: int,
    tokens: Tokens | None = None,
    entry: Mapping[str, Any] | None = None,
    open_to_all: bool = False,
) -> None:
    """Serve a package until SIGTERM or SIGINT.

    Args:
        package: verified.
        settings: limits and sizes.
        address: where to listen.
        threads: of the graph.
        tokens: who may do what; without, everyone may do everything.
        entry: what the registry says of the version.
        open_to_all: listen beyond this machine without tokens.

    Raises:
        InputError: the port is taken, or nobody is kept out of a server that others can reach.
    """
    if tokens is None and not open_to_all and not is_loopback(address.host):
        raise InputError(
            f"{address.host} can be reached by others, and no tokens are set.",
            "Give --tokens FILE (`facemodels token add`), or --no-auth if that is meant.",
        )
    listener = _listen(address)
    log = structlog.get_logger("facemodels.serving")
    name, version = str(package.id.name), str(package.id.version)
    metrics = Metrics(name, version, package.digest)
    engine = Engine(package, settings, threads=threads, metrics=metrics)
    readiness = Readiness()
    app = create(engine, metrics, tokens=tokens, entry=entry, readiness=readiness)
    limits = settings.limits
    protocol = type("_Timed", (_Protocol,), {"header_s": limits.header_s})
    config = uvicorn.Config(
        app,
        http=protocol,
        loop="uvloop",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        limit_concurrency=limits.connections,
        timeout_keep_alive=int(limits.header_s) or 1,
        timeout_graceful_shutdown=int(limits.grace_s) or 1,
        lifespan="off",
    )
    host, port = listener.getsockname()[:2]
    readiness.ready = True
    log.info("ready", model=str(package.id), host=host, port=port, threads=threads)
    try:
        _Server(config, readiness).run(sockets=[listener])
    finally:
        engine.close()
        log.info("stopped", model=str(package.id))


def _listen(address: Address) -> socket.socket:
    """Bind before the model is loaded: a port that is taken shall show at once."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address.host, address.port))
    except OSError as error:
        listener.close()
        raise InputError(
            f"cannot listen on {address.host}:{address.port}: {error.strerror}.",
            "Choose another --port; 0 takes a free one.",
        ) from error
    return listener


def ignore_hangup() -> None:
    """A server in the background outlives the terminal that started it."""
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

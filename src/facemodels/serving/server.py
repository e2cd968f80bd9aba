"""The process of a server: its signals and its end.

SIGTERM, SIGINT and SIGHUP (unless the process was started with `nohup`) end the server in order.
At once it says that it is not ready. For `drain_s` it answers as before. Then it accepts no new
connections, and requests in work have `grace_s` to finish. A second signal ends it at once.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import uvicorn

from facemodels.errors import InputError
from facemodels.package.load import Package
from facemodels.serving.app import create
from facemodels.serving.doorman.service import Doorman, doorman_for
from facemodels.serving.engine.inference import Engine
from facemodels.serving.heartbeat import Heartbeat, HeartbeatThread
from facemodels.serving.http.access import is_loopback
from facemodels.serving.http.admission import Admission
from facemodels.serving.http.connection import connection_class
from facemodels.serving.http.cors import CrossOrigin
from facemodels.serving.http.readiness import Readiness
from facemodels.serving.http.tokens import Tokens
from facemodels.serving.listener import (
    BACKLOG,
    ListenAddress,
    affordable,
    bound,
    listen,
    refuse_more,
)
from facemodels.serving.metrics import Metrics
from facemodels.serving.settings import Limits, Serving

_CHECK_S = 1.0  # between two checks of all connections
_BUSY_S, _REST_S = 0.1, 0.5  # between two ticks with a request in work, and without one
_IDLE_GRACE_S = 0.5  # at the end, before connections without a request are closed
_THREADS_S = 0.5  # at the end, for threads whose results nobody waits for
_END_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True)
class ServerExit:
    """How a server ended.

    Attributes:
        code: the exit code: 0 in order, 1 if requests were given up, 128 + the number of the
            signal if a second one came.
        threads_left: whether threads still work; the interpreter would wait for them.
    """

    code: int
    threads_left: bool


class _Server(uvicorn.Server):
    """uvicorn's server with signals of its own and a check of connections every second.

    Args:
        config: of uvicorn.
        readiness: is set when the server listens, and at the first signal.
        drain_s: see `Limits`.
        log: where its start and its end are told.

    Attributes:
        ticked_s: when the event loop last ran, of `time.monotonic`.
        code: the exit code.
    """

    def __init__(
        self, config: uvicorn.Config, *, readiness: Readiness, drain_s: float, log: Any
    ) -> None:
        super().__init__(config)
        self._readiness = readiness
        self._drain_s = drain_s
        self._heartbeat: HeartbeatThread | None = None
        self._doorman: Doorman | None = None
        self._accepting: asyncio.Server | None = None
        self._taken: set[asyncio.Task[Any]] = set()
        self.ticked_s = time.monotonic()
        self._log = log
        self._leave_at: float | None = None
        self._signalled = asyncio.Event()
        self._checked_s = 0.0
        self.code = 0

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle the signals in the event loop, until the process ends.

        uvicorn would raise a signal again after its end, and the exit code would be -15.
        """
        loop = asyncio.get_running_loop()
        for number in _end_signals():
            loop.add_signal_handler(number, self._end, number)
        yield

    def show_heartbeat(self, thread: HeartbeatThread) -> None:
        """Start a thread of heartbeats as soon as the server is ready."""
        self._heartbeat = thread

    def let_in_by(self, doorman: Doorman | None) -> None:
        """Take connections from a doorman; None accepts them here."""
        self._doorman = doorman

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and then say that the server is ready."""
        self._listener = (sockets or [])[0]
        await super().startup([] if self._doorman else sockets)
        self._readiness.ready = True
        if self._doorman is not None:
            self._doorman.open(self._take)
            self._doorman.tell(ready=True)
        host, port = self._listener.getsockname()[:2]
        if self._heartbeat is not None:
            self._heartbeat.start()
        self._log.info("ready", host=host, port=port)

    async def main_loop(self) -> None:
        """Tick until the end; uvicorn's own loop wakes an idle processor ten times a second."""
        for counter in itertools.count():
            if await self.on_tick(counter):
                return
            busy = self.server_state.tasks or self._leave_at is not None
            with suppress(TimeoutError):
                async with asyncio.timeout(_BUSY_S if busy else _REST_S):
                    await self._signalled.wait()
            self._signalled.clear()

    async def on_tick(self, counter: int) -> bool:
        """Look at what changes with time; true ends the main loop."""
        now = self.ticked_s = time.monotonic()
        if now - self._checked_s >= _CHECK_S:
            self._checked_s = now
            for connection in list(self.server_state.connections):
                connection.check(now)  # type: ignore[union-attr]
        if self._doorman is not None:
            self._doorman.tell(ready=self._readiness.ready)
            if not self._doorman.works:
                await self._stand_in()
        if self._leave_at is not None and now >= self._leave_at:
            return True
        return await super().on_tick(counter)

    def _end(self, number: int) -> None:
        """End in order at the first signal, at once at the second."""
        self._signalled.set()
        name = signal.Signals(number).name
        if self._leave_at is None:
            self._readiness.ready = False
            if self._doorman is not None:
                self._doorman.tell(ready=False)
            self._leave_at = time.monotonic() + self._drain_s
            self._log.info("ending", signal=name)
            return
        self._log.warning("ended at once", signal=name)
        self.code = 128 + number
        self.should_exit = self.force_exit = True
        for task in self.server_state.tasks:
            task.cancel()
        for connection in list(self.server_state.connections):
            asyncio.get_running_loop().call_soon(connection.transport.abort)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish the requests in work, for up to `grace_s` seconds."""
        if self._doorman is not None:
            await self._doorman.dismiss()
        for client in refuse_more(self._listener):
            self._take(client)
        if self._accepting is not None:
            self._accepting.close()
        # A request may be on its way on a connection without one, so those are closed later.
        asyncio.get_running_loop().call_later(_IDLE_GRACE_S, self._close_idle)
        await super().shutdown(sockets)
        left = len(self.server_state.tasks)  # uvicorn cancels them and does not wait for them
        if left and not self.code:
            self._log.warning("work given up", requests=left)
            self.code = 1

    async def _stand_in(self) -> None:
        """Accept connections here, as the doorman does not any more."""
        self._log.warning("no doorman", reason="it ended, or hangs")
        doorman, self._doorman = self._doorman, None
        if doorman is not None:
            await doorman.dismiss()
        loop = asyncio.get_running_loop()
        self._accepting = await loop.create_server(
            self._connection, sock=self._listener, backlog=BACKLOG
        )

    def _take(self, client: socket.socket) -> None:
        """Serve a connection that was accepted elsewhere."""
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        task = loop.create_task(_joined(loop, self._connection, client))
        self._taken.add(task)
        task.add_done_callback(self._taken.discard)

    def _connection(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state={}
        )
        return made

    def _close_idle(self) -> None:
        for connection in list(self.server_state.connections):
            connection.close_unless_busy()  # type: ignore[union-attr]


async def _joined(
    loop: asyncio.AbstractEventLoop, protocol: Callable[[], asyncio.Protocol], client: socket.socket
) -> None:
    with suppress(OSError):  # it has left
        await loop.connect_accepted_socket(protocol, client)


def serve_package(
    package: Package,
    settings: Serving,
    address: ListenAddress,
    *,
    threads: int,
    tokens: Tokens | None = None,
    about: Callable[[], Mapping[str, Any]] = dict,
    open_to_all: bool = False,
    galleries: Mapping[str, Path] | None = None,
    heartbeat: Path | None = None,
) -> ServerExit:
    """Serve a package until a signal ends it.

    Args:
        package: the package, verified.
        settings: the limits and sizes.
        address: where to listen.
        threads: the threads of the model's graph.
        tokens: the tokens that are accepted; None lets everyone do everything.
        about: gives the fields that the registry has for the version; is called for each answer.
        open_to_all: allow a server without tokens that other machines can reach.
        galleries: the folders of a system's galleries, by the names that clients know.
        heartbeat: the file that tells others that the server makes progress; None for none.

    Raises:
        InputError: the port is taken, the server has no tokens and other machines can reach it, or
            galleries are given for a model that is no system.
    """
    if galleries and package.task != "system":
        raise InputError(
            f"{package.id} is no system, and only a system has galleries.",
            "Leave --gallery out, or serve a system, as `facemodels bundle` makes it.",
        )
    if tokens is None and not open_to_all and not is_loopback(address.host):
        raise InputError(
            f"{address.host} can be reached by others, and no tokens are set.",
            "Give --tokens FILE (`facemodels token add`), or --no-auth if that is meant.",
        )
    # The port is bound before the model is loaded, so that a port in use is refused at once.
    with bound(address) as listener:
        limits = settings.limits.model_copy(update={"connections": affordable(settings.limits)})
        name, version = str(package.id.name), str(package.id.version)
        metrics = Metrics(name, version, package.digest)
        engine = Engine(package, settings, threads=threads, metrics=metrics)
        readiness = Readiness()
        app = create(
            engine, metrics, tokens=tokens, about=about, readiness=readiness, galleries=galleries
        )
        # Only now: a client that connects before the model is warm is refused and does not wait.
        listen(listener, address)
        log = structlog.get_logger("facemodels.serving").bind(model=str(package.id))
        outer = CrossOrigin(app, settings.origins) if settings.origins else app
        config = _config(outer, limits, readiness, settings.proxies)
        server = _Server(config, readiness=readiness, drain_s=limits.drain_s, log=log)
        server.let_in_by(doorman_for(listener, prefix=settings.root_path, idle_s=limits.idle_s))
        if heartbeat is not None:
            server.show_heartbeat(
                HeartbeatThread(
                    heartbeat, lambda: _heartbeat(server, readiness, app.admission, engine, metrics)
                )
            )
        server.run(sockets=[listener])
    return ServerExit(server.code, threads_left=not _closed(engine))


def _heartbeat(
    server: _Server, readiness: Readiness, admission: Admission, engine: Engine, metrics: Metrics
) -> Heartbeat:
    return Heartbeat(
        pid=os.getpid(),
        written_s=time.monotonic(),
        loop_s=server.ticked_s,
        work_s=engine.activity.moved_s,
        ready=readiness.ready,
        in_flight=admission.in_work,
        shed=admission.shed,
        counted=metrics.counted,
    )


def _config(
    app: Any, limits: Limits, readiness: Readiness, proxies: Sequence[str]
) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=connection_class(limits, readiness),
        ws="none",
        loop="uvloop",
        interface="asgi3",
        lifespan="off",
        backlog=BACKLOG,
        log_config=None,
        access_log=False,
        proxy_headers=True,
        forwarded_allow_ips=list(proxies),
        server_header=False,
        date_header=False,
        timeout_keep_alive=int(limits.idle_s) + 1,  # without effect; see `Connection`
        timeout_graceful_shutdown=limits.grace_s,  # type: ignore[arg-type]  # fractions work
    )


def _closed(engine: Engine) -> bool:
    """Close the engine; false if its threads still work after `_THREADS_S` seconds."""
    closing = threading.Thread(target=engine.close, name="closing", daemon=True)
    closing.start()
    closing.join(_THREADS_S)
    structlog.get_logger("facemodels.serving").info("stopped", threads_left=closing.is_alive())
    return not closing.is_alive()


def _end_signals() -> Iterator[signal.Signals]:
    """The signals that end the server; without SIGHUP if `nohup` started the process."""
    for number in _END_SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            yield number


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Exit with code 0 at a signal that comes before the server handles signals itself.

    The first process of a container needs these handlers: the kernel does not deliver it a signal
    without one. They end the process themselves: an exception that comes in the middle of an import
    can be taken for an error of the module, or be lost in a callback that ignores errors.
    """

    def leave(number: int, frame: object) -> None:
        os._exit(0)

    before = {number: signal.signal(number, leave) for number in list(_end_signals())}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

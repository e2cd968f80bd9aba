"""The process: its socket, its signals, its end.

SIGTERM, SIGINT and SIGHUP (unless started with `nohup`) end the server in order: not ready at
once, `drain_s` of answering on, then no new connections and `grace_s` for what is in work. The
same signal once more ends it at once.
"""

from __future__ import annotations

import asyncio
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import structlog
import uvicorn

from facemodels.errors import InputError
from facemodels.package.load import Package
from facemodels.serving.app import create
from facemodels.serving.engine.inference import Engine
from facemodels.serving.http.access import is_loopback
from facemodels.serving.http.connection import with_limits
from facemodels.serving.http.readiness import Readiness
from facemodels.serving.http.tokens import Tokens
from facemodels.serving.metrics import Metrics
from facemodels.serving.settings import Limits, Serving

_BACKLOG = 1024  # connections that the kernel holds until they are accepted, many at a time
_FILES = 128  # descriptors for everything else
_TICKS = 10  # of uvicorn's main loop a second
_LAST_CALL_S = 0.5
_THREADS_S = 0.5  # for threads at work that nobody waits for any more
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True)
class ListenAddress:
    """Where to listen; port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 8000


@dataclass(frozen=True)
class ServerExit:
    """How a server ended.

    Attributes:
        code: 0 in order, 1 if requests were given up, 128 + the signal if it was told twice.
        threads_left: whether threads are still at work; the interpreter would wait for them.
    """

    code: int
    threads_left: bool


class _Server(uvicorn.Server):
    """uvicorn's, with our signals and our look at connections that keep it waiting."""

    def __init__(
        self, config: uvicorn.Config, *, readiness: Readiness, drain_s: float, log: Any
    ) -> None:
        super().__init__(config)
        self._readiness = readiness
        self._drain_s = drain_s
        self._log = log
        self._leave_at: float | None = None
        self.code = 0

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """In the loop, and for good: uvicorn's way raises them again, which ends with -15."""
        loop = asyncio.get_running_loop()
        for number in _ending():
            loop.add_signal_handler(number, self._end, number)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so when it is true."""
        await super().startup(sockets)
        self._readiness.ready = True
        host, port = (sockets or [])[0].getsockname()[:2]
        self._log.info("ready", host=host, port=port)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second; true ends the main loop."""
        now = time.monotonic()
        if counter % _TICKS == 0:
            for connection in list(self.server_state.connections):
                connection.check(now)  # type: ignore[union-attr]
        if self._leave_at is not None and now >= self._leave_at:
            return True
        return await super().on_tick(counter)

    def _end(self, number: int) -> None:
        name = signal.Signals(number).name
        if self._leave_at is None:
            self._readiness.ready = False
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
        """Finish what is in work, within the time of grace."""
        loop = asyncio.get_running_loop()
        clients = [client for listener in sockets or () for client in _refuse_more(listener)]
        tasks = [loop.connect_accepted_socket(self._connection, client) for client in clients]
        late = asyncio.gather(*tasks)
        # Requests may be on their way: connections without one are closed a moment later.
        loop.call_later(_LAST_CALL_S, self._close_idle)
        await super().shutdown(sockets)
        await late
        left = len(self.server_state.tasks)  # uvicorn has cancelled them, but not waited
        if left and not self.code:
            self._log.warning("work given up", requests=left)
            self.code = 1

    def _connection(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state={}
        )
        return made

    def _close_idle(self) -> None:
        for connection in list(self.server_state.connections):
            connection.close_unless_busy()  # type: ignore[union-attr]


def serve_package(
    package: Package,
    settings: Serving,
    address: ListenAddress,
    *,
    threads: int,
    tokens: Tokens | None = None,
    about: Callable[[], Mapping[str, Any]] = dict,
    open_to_all: bool = False,
) -> ServerExit:
    """Serve a package until a signal ends it.

    Args:
        package: verified.
        settings: limits and sizes.
        address: where to listen.
        threads: of the graph.
        tokens: who may do what; without, everyone may do everything.
        about: gives what the registry says of the version, at every question.
        open_to_all: listen beyond this machine without tokens.

    Raises:
        InputError: the port is taken, or nobody is kept out of a server that others can reach.
    """
    if tokens is None and not open_to_all and not is_loopback(address.host):
        raise InputError(
            f"{address.host} can be reached by others, and no tokens are set.",
            "Give --tokens FILE (`facemodels token add`), or --no-auth if that is meant.",
        )
    # Before the model is loaded: a port that is taken shall show at once.
    with _bound(address) as listener:
        limits = settings.limits.model_copy(update={"connections": _affordable(settings.limits)})
        name, version = str(package.id.name), str(package.id.version)
        metrics = Metrics(name, version, package.digest)
        engine = Engine(package, settings, threads=threads, metrics=metrics)
        readiness = Readiness()
        app = create(engine, metrics, tokens=tokens, about=about, readiness=readiness)
        _listen(listener, address)  # only now: who connects earlier shall be refused, not wait
        log = structlog.get_logger("facemodels.serving").bind(model=str(package.id))
        config = _config(app, limits, readiness)
        server = _Server(config, readiness=readiness, drain_s=limits.drain_s, log=log)
        server.run(sockets=[listener])
    return ServerExit(server.code, threads_left=not _closed(engine))


def _config(app: Any, limits: Limits, readiness: Readiness) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=with_limits(limits, readiness),
        ws="none",
        loop="uvloop",
        interface="asgi3",
        lifespan="off",
        backlog=_BACKLOG,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=int(limits.idle_s) + 1,  # ours comes first
        timeout_graceful_shutdown=limits.grace_s,  # type: ignore[arg-type]  # takes fractions
    )


def _closed(engine: Engine) -> bool:
    """Close the engine; false if its threads are too long at work that nobody waits for."""
    closing = threading.Thread(target=engine.close, name="closing", daemon=True)
    closing.start()
    closing.join(_THREADS_S)
    structlog.get_logger("facemodels.serving").info("stopped", threads_left=closing.is_alive())
    return not closing.is_alive()


def _affordable(limits: Limits) -> int:
    """Connections that the process may have, after asking for as many descriptors as it may.

    More are never accepted: where descriptors run out, the event loop gives up listening.

    Raises:
        InputError: the limit of descriptors allows none.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    top = float("inf") if hard == resource.RLIM_INFINITY else hard
    needed = limits.connections + _BACKLOG + _FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = int(min(needed, top))
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return limits.connections
    allowed = soft - _BACKLOG - _FILES
    if allowed < 1:
        raise InputError(
            f"this process may open {soft} files.", f"Allow at least {_BACKLOG + _FILES + 1}."
        )
    structlog.get_logger("facemodels.serving").warning(
        "fewer connections", connections=allowed, wanted=limits.connections, files=soft
    )
    return allowed


def _refuse_more(listener: socket.socket) -> Iterator[socket.socket]:
    """Stop listening; give those whom the kernel has let in already.

    A listener that is just closed resets them, who may have sent their requests.
    """
    listener.setblocking(False)
    while True:
        try:
            yield listener.accept()[0]
        except OSError:
            break
    with suppress(OSError):
        listener.shutdown(socket.SHUT_RD)


@contextmanager
def _bound(address: ListenAddress) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address.host, address.port))
        except (OSError, UnicodeError) as error:
            raise _taken(address, error) from error
        yield listener


def _listen(listener: socket.socket, address: ListenAddress) -> None:
    """Take the port; of two servers that start at one moment both could bind."""
    try:
        listener.listen(_BACKLOG)
    except OSError as error:
        raise _taken(address, error) from error


def _taken(address: ListenAddress, error: OSError | UnicodeError) -> InputError:
    reason = error.strerror if isinstance(error, OSError) else "no such host"
    return InputError(
        f"cannot listen on {address.host}:{address.port}: {reason}.",
        "Choose another --host or --port; port 0 takes a free one.",
    )


def _ending() -> Iterator[signal.Signals]:
    """Signals that end the server; a hang-up does not where `nohup` started it."""
    for number in _ENDING:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            yield number


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Until the server listens to signals itself: leave in order, nothing is in work yet.

    The kernel spares the first process of a container from signals that have no handler.
    """

    def leave(number: int, frame: object) -> None:
        raise SystemExit(0)

    before = {number: signal.signal(number, leave) for number in list(_ending())}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

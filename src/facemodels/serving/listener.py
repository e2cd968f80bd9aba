"""The socket on which a server listens, and how many connections it can hold."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import structlog

from facemodels.errors import InputError
from facemodels.serving.settings import Limits

BACKLOG = 1024  # connections that the kernel holds until they are accepted, many at a time
_FILES = 128  # file descriptors for everything but connections


@dataclass(frozen=True)
class ListenAddress:
    """Where the server listens.

    Attributes:
        host: a name or an address of this machine.
        port: the TCP port; 0 takes a free one.
    """

    host: str = "127.0.0.1"
    port: int = 8000


@contextmanager
def bound(address: ListenAddress) -> Iterator[socket.socket]:
    """A socket that is bound, so that a port in use is refused at once, and does not listen yet.

    Raises:
        InputError: the port is taken, or there is no such host.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address.host, address.port))
        except (OSError, UnicodeError) as error:
            raise _taken(address, error) from error
        yield listener


def listen(listener: socket.socket, address: ListenAddress) -> None:
    """Listen on the port. Two servers that start at one moment can both bind; only one listens.

    Raises:
        InputError: another server was first.
    """
    try:
        listener.listen(BACKLOG)
    except OSError as error:
        raise _taken(address, error) from error


def refuse_more(listener: socket.socket) -> Iterator[socket.socket]:
    """Stop to listen, and give the connections that the kernel has accepted already.

    If the listener were closed at once, the kernel would reset these connections, on which
    requests may have arrived.
    """
    listener.setblocking(False)
    while True:
        try:
            yield listener.accept()[0]
        except OSError:
            break
    with suppress(OSError):
        listener.shutdown(socket.SHUT_RD)


def affordable(limits: Limits) -> int:
    """The number of connections for which the process may have file descriptors.

    The soft limit of the process is raised first. The server never accepts more connections: if
    descriptors run out, the event loop stops to listen.

    Raises:
        InputError: the limit of the process allows no connection.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    top = float("inf") if hard == resource.RLIM_INFINITY else hard
    needed = limits.connections + BACKLOG + _FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = int(min(needed, top))
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return limits.connections
    allowed = soft - BACKLOG - _FILES
    if allowed < 1:
        raise InputError(
            f"this process may open {soft} files.", f"Allow at least {BACKLOG + _FILES + 1}."
        )
    structlog.get_logger("facemodels.serving").warning(
        "fewer connections", connections=allowed, wanted=limits.connections, files=soft
    )
    return allowed


def _taken(address: ListenAddress, error: OSError | UnicodeError) -> InputError:
    reason = error.strerror if isinstance(error, OSError) else "no such host"
    return InputError(
        f"cannot listen on {address.host}:{address.port}: {reason}.",
        "Choose another --host or --port; port 0 takes a free one.",
    )

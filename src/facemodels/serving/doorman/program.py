"""The process that accepts a server's connections and answers for its health.

python -I -S program.py LISTENER CHANNEL PAGE IDLE_S PATH_OF_LIVE PATH_OF_READY

LISTENER, CHANNEL and PAGE are file descriptors. On the channel each message to the server holds one
connection; `STOP` from the server hands it everything that is here, and ends this process, as the
end of the channel does. A request is looked at and not taken until it is known to be one for health
in its plain form. Whatever else it is, the server reads, and refuses, every byte of it.
"""

from __future__ import annotations

import mmap
import os
import re
import select
import signal
import socket
import struct
import sys
import time
from contextlib import suppress

STOP = b"stop"
PAGE_BYTES = 4096
AT_TICK, AT_READY, AT_WATCH = 0, 8, 16  # offsets in the page
SECONDS = struct.Struct("=d")  # of `time.monotonic`, which all processes of a machine share
FLAG = struct.Struct("=?")
PERIOD_S = 1.0  # between two signs of life of this process
LIVE_S = 30.0  # without a sign of the event loop, after which the server is not alive
READY_S = 2.0  # likewise, not ready

_LOOKED_AT = 2048  # bytes; the head of a request for health has a few hundred
_HEADERS = 16  # a probe has five
_MOST_KEPT = 256  # connections that wait for their next request for health
_SILENCE_S = 0.2  # after which a new connection is the server's to wait for
PATIENCE_S = 5.0  # at the end, for the server to take what is handed to it
_TRY_AGAIN_S = 0.01
_NICE = -5  # what it does takes a tenth of a millisecond
_HEAD = re.compile(
    rb"GET ([!-~]+) HTTP/1\.1\r\n((?:[A-Za-z0-9!#$%&'*+.^_`|~-]+:[\t -~]*\r\n)*)\r\n"
)
_ID = re.compile(rb"[A-Za-z0-9_.-]{1,64}")
# Headers that ask for something that the server alone knows to do.
_NOT_PLAIN = {b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"origin"}
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the server ends in order, and then this


class _Request:
    """A plain request for health."""

    def __init__(self, size: int, path: bytes, request_id: bytes, *, keeps: bool) -> None:
        self.size = size
        self.path = path
        self.request_id = request_id
        self.keeps = keeps


def _plain_request(seen: bytes, paths: tuple[bytes, bytes]) -> _Request | None:
    """The request that begins a connection's bytes; None if it is the server's to answer."""
    found = _HEAD.match(seen)
    if found is None or found[1] not in paths:
        return None
    lines = [line.partition(b":") for line in found[2].splitlines()]
    names = [name.lower() for name, _, _ in lines]
    plain = len(names) <= _HEADERS and _NOT_PLAIN.isdisjoint(names)
    if names.count(b"host") != 1 or not plain:
        return None
    values = {name: value.strip() for name, (_, _, value) in zip(names, lines, strict=True)}
    connection = values.get(b"connection", b"keep-alive").lower()
    if connection not in (b"keep-alive", b"close"):
        return None
    given = values.get(b"x-request-id", b"")
    request_id = given if _ID.fullmatch(given) else os.urandom(16).hex().encode()
    return _Request(found.end(), found[1], request_id, keeps=connection == b"keep-alive")


class _Door:
    """The connections that are here: silent ones, those kept, and those on the way out."""

    def __init__(
        self, listener: socket.socket, channel: socket.socket, page: mmap.mmap, idle_s: float,
        paths: tuple[bytes, bytes],
    ) -> None:  # fmt: skip
        self._listener, self._channel, self._page = listener, channel, page
        self._idle_s, self._paths = idle_s, paths
        # Each with the time since when it is silent; both in the order of that time.
        self._silent: dict[int, tuple[socket.socket, float]] = {}
        self._kept: dict[int, tuple[socket.socket, float]] = {}
        self._handing: list[socket.socket] = []
        self._poll = select.epoll()
        for one in (listener, channel):
            one.setblocking(False)
            self._poll.register(one, select.EPOLLIN)

    def run(self) -> None:
        """Work until the server says that it ends, or has ended."""
        while True:
            SECONDS.pack_into(self._page, AT_WATCH, time.monotonic())
            for number, _ in self._poll.poll(self._wait_s()):
                if number == self._listener.fileno():
                    self._accept()
                elif number == self._channel.fileno():
                    if self._is_over():
                        return
                else:
                    self._heard(number)
            self._look_at_clock()

    def _wait_s(self) -> float:
        if self._handing:
            return _TRY_AGAIN_S
        return min(_SILENCE_S, PERIOD_S) if self._silent else PERIOD_S

    def _is_over(self) -> bool:
        try:
            if self._channel.recv(len(STOP)) != STOP:
                return True  # the server is gone
        except BlockingIOError:
            return False
        except OSError:
            return True
        self._accept()
        for connections in (self._silent, self._kept):
            for number in list(connections):
                self._hand(connections.pop(number)[0])
        self._channel.settimeout(PATIENCE_S)
        self._send_handing()
        return True

    def _accept(self) -> None:
        while True:
            try:
                connection = self._listener.accept()[0]
            except BlockingIOError:
                return
            except OSError:  # no file is free, or the client left
                time.sleep(_TRY_AGAIN_S)
                return
            connection.setblocking(False)
            self._poll.register(connection, select.EPOLLIN)
            self._silent[connection.fileno()] = (connection, time.monotonic())
            self._heard(connection.fileno())

    def _heard(self, number: int) -> None:
        """Answer what a connection asks for, or hand it on, if it has sent anything."""
        home = self._silent if number in self._silent else self._kept
        connection, since = home.pop(number)
        try:
            while seen := connection.recv(_LOOKED_AT, socket.MSG_PEEK):
                request = _plain_request(seen, self._paths)
                if request is None:
                    self._hand(connection)
                    return
                connection.recv(request.size)
                home, since = self._kept, time.monotonic()
                if not self._answer(connection, request):
                    break
        except BlockingIOError:  # nothing more yet
            home[number] = (connection, since)
            return
        except OSError:
            pass
        connection.close()  # it was the last answer, or the client left

    def _answer(self, connection: socket.socket, request: _Request) -> bool:
        """Answer a request for health; false if the connection ends with it."""
        now = time.monotonic()
        silence_s = now - SECONDS.unpack_from(self._page, AT_TICK)[0]
        ready = FLAG.unpack_from(self._page, AT_READY)[0] and silence_s < READY_S
        about_ready = request.path == self._paths[1]
        good = ready if about_ready else silence_s < LIVE_S
        keeps = request.keeps and ready and len(self._kept) < _MOST_KEPT
        body = b'{"%b":%b}' % (b"ready" if about_ready else b"live", b"true" if good else b"false")
        answer = (
            b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
            b"x-request-id: %b\r\nx-content-type-options: nosniff\r\n%b\r\n%b"
        ) % (
            b"200 OK" if good else b"503 Service Unavailable", len(body), request.request_id,
            b"" if keeps else b"connection: close\r\n", body,
        )  # fmt: skip
        return connection.send(answer) == len(answer) and keeps

    def _hand(self, connection: socket.socket) -> None:
        """Give a connection to the server, now or as soon as it takes it."""
        self._poll.unregister(connection)
        self._handing.append(connection)
        self._send_handing()

    def _send_handing(self) -> None:
        while self._handing:
            connection = self._handing[0]
            try:
                socket.send_fds(self._channel, [b"\0"], [connection.fileno()])
            except OSError:  # it has no room for more of them now
                return
            self._handing.pop(0).close()

    def _look_at_clock(self) -> None:
        now = time.monotonic()
        self._send_handing()
        while self._silent and now - next(iter(self._silent.values()))[1] >= _SILENCE_S:
            self._hand(self._silent.pop(next(iter(self._silent)))[0])
        while self._kept and now - next(iter(self._kept.values()))[1] >= self._idle_s:
            self._kept.pop(next(iter(self._kept)))[0].close()


def main() -> None:
    """Run until the server ends."""
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    with suppress(OSError):  # only the administrator may
        os.nice(_NICE)
        with open("/proc/self/autogroup", "w", encoding="ascii") as group:  # noqa: PTH123
            group.write(str(_NICE))
    listener, channel = (socket.socket(fileno=int(text)) for text in sys.argv[1:3])
    page = mmap.mmap(int(sys.argv[3]), PAGE_BYTES)
    live, ready = (os.fsencode(path) for path in sys.argv[5:7])
    _Door(listener, channel, page, float(sys.argv[4]), (live, ready)).run()


if __name__ == "__main__":
    main()

"""A closed loop of HTTP/1.1 requests over keep-alive connections, light enough to share two cores.

python -m benchmarks.load PORT SIZE runs the trivial server against which its ceiling is measured.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from dataclasses import dataclass
from typing import cast

import uvloop

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Request:
    """One request, sent again and again."""

    path: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()

    def encoded(self) -> bytes:
        """As it goes over the wire."""
        lines = [
            f"POST {self.path} HTTP/1.1",
            "host: localhost",
            f"content-length: {len(self.body)}",
            *(f"{name}: {value}" for name, value in self.headers),
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


class _Connection(asyncio.Protocol):
    """Sends the next request when the answer to the last one is complete."""

    def __init__(self, request: bytes, ended: list[tuple[float, float]]) -> None:
        self._request = request
        self._ended = ended
        self._got = bytearray()
        self._wanted = 0
        self._since = 0.0
        self.running = True
        self.over: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def _send(self) -> None:
        self._since = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._got += data
        if not self._wanted:
            end = self._got.find(b"\r\n\r\n")
            if end < 0:
                return
            found = _LENGTH.search(self._got, 0, end)
            if not self._got.startswith(b"HTTP/1.1 200 ") or found is None:
                self._fail(bytes(self._got[:500]).decode(errors="replace"))
                return
            self._wanted = end + 4 + int(found[1])
        if len(self._got) >= self._wanted:
            self._complete()

    def _complete(self) -> None:
        now = time.perf_counter()
        self._ended.append((now, now - self._since))
        if self.running:
            self._got.clear()
            self._wanted = 0
            self._send()
        else:
            self._transport.close()
            self.over.set_result(bytes(self._got))

    def _fail(self, text: str) -> None:
        self._transport.close()
        if not self.over.done():
            self.over.set_exception(RuntimeError(f"not answered: {text}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("the connection was lost")


async def _run(
    port: int, request: Request, connections: int, seconds: float, warmup: float
) -> tuple[list[tuple[float, float]], tuple[float, float], bytes]:
    """When each answer came and how long it took, the window, and the body of one."""
    ended: list[tuple[float, float]] = []
    encoded = request.encoded()
    loop = asyncio.get_running_loop()
    made = [
        (await loop.create_connection(lambda: _Connection(encoded, ended), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    over = asyncio.gather(*(one.over for one in made))
    await asyncio.wait([over], timeout=warmup)
    begin = time.perf_counter()
    await asyncio.wait([over], timeout=seconds)
    end = time.perf_counter()
    for one in made:
        one.running = False
    answers = await over
    return ended, (begin, end), answers[0].partition(b"\r\n\r\n")[2]


@dataclass(frozen=True)
class Measured:
    """What a window of time saw.

    Attributes:
        per_second: answers.
        latencies_s: of each.
        answers: all of them, those before the window too.
    """

    per_second: float
    latencies_s: list[float]
    answers: int


def measure(
    port: int, request: Request, *, connections: int, seconds: float, warmup: float = 0.2
) -> Measured:
    """Keep `connections` requests in flight for a while.

    Raises:
        RuntimeError: an answer was not 200, or a connection was lost.
    """
    ended, (begin, end), _ = uvloop.run(_run(port, request, connections, seconds, warmup))
    within = [took for at, took in ended if begin <= at < end]
    return Measured(len(within) / (end - begin), within, len(ended))


def ask(port: int, request: Request) -> bytes:
    """The body of one answer."""
    return uvloop.run(_run(port, request, 1, 0.0, 0.0))[2]


class _Trivial(asyncio.Protocol):
    """Reads a request of a known length and answers with a fixed one: the cheapest server."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._seen = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._seen += len(data)
        if self._seen >= self._size:
            self._seen = 0
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2048\r\n\r\n" + bytes(2048))


async def _trivial(port: int, size: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Trivial(size), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_trivial(int(sys.argv[1]), int(sys.argv[2])))

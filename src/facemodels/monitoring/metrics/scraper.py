"""Scrapes many servers at once. A server that does not answer in time is missing, never zero."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from facemodels.monitoring.metrics.reading import Reading, Series, parse
from facemodels.routes import METRICS

_THREADS = 64
QUIET_S = 5.0  # between two looks at what has nothing new to tell
_MOST = 4_000_000  # bytes of one answer; our servers send 13,000


@dataclass(frozen=True, slots=True)
class ScrapeTarget:
    """A server to scrape.

    Attributes:
        url: its address without a path, for example `http://127.0.0.1:9001`.
        series: the labels of the version that it serves.
        instance: the name of the process; it differs after each start.
        started_s: when it started, in seconds of CLOCK_BOOTTIME; None if that is unknown.
        activity: differs from what it was if the server's counters may; None if that is unknown.
    """

    url: str
    series: Series
    instance: str
    started_s: float | None = None
    activity: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class MissingReading:
    """A scrape that brought no numbers.

    Attributes:
        why: the reason, for people.
    """

    why: str


@dataclass(frozen=True, slots=True)
class Scrape:
    """The outcome of scraping one server."""

    target: ScrapeTarget
    found: Reading | MissingReading


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a server answered, and when it was asked, on the monotonic clock."""

    found: Reading | MissingReading
    at: float

    def holds(self, now: float) -> bool:
        return isinstance(self.found, Reading) and now - self.at < QUIET_S


class Scraper:
    """Scrapes servers over connections that it keeps; use it in `with`, in one thread.

    A server whose activity stands has nothing new to tell but its memory: it is asked every few
    seconds only, and its last numbers count on until then.

    It speaks through `http.client`, at a fifth of the processor time that httpx takes: a controller
    scrapes every second, day and night. No proxy is asked: these are our own servers.

    Args:
        timeout_s: the time limit of a whole answer.
        token: a bearer token of the scope `metrics`; "" sends none.
        clock: seconds, rising.
    """

    def __init__(
        self, timeout_s: float = 0.8, token: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._timeout_s = timeout_s
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        self._connections: dict[str, http.client.HTTPConnection] = {}  # without a request
        self._sockets: dict[str, socket.socket] = {}  # of these, and of those in work
        self._last: dict[ScrapeTarget, _Asked] = {}
        self._pool = ThreadPoolExecutor(_THREADS, "scrape")

    def __enter__(self) -> Scraper:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        for url in list(self._sockets):
            self._drop(url)
        self._pool.shutdown()

    def scrape(self, targets: Sequence[ScrapeTarget]) -> list[Scrape]:
        """Scrape all servers concurrently; it takes no longer than the timeout."""
        for gone in set(self._sockets) - {one.url for one in targets}:
            self._drop(gone)
        now = self._clock()
        known = {
            target: self._last[target]
            for target in targets
            if target.activity is not None
            and target in self._last
            and self._last[target].holds(now)
        }
        asked = {t: self._pool.submit(self._one, t) for t in targets if t not in known}
        wait(asked.values(), self._timeout_s)
        for target, future in asked.items():
            found = future.result() if future.done() else self._late(target)
            known[target] = _Asked(found, now)
        self._last = known
        return [Scrape(target, known[target].found) for target in targets]

    def _late(self, target: ScrapeTarget) -> MissingReading:
        self._drop(target.url)  # the thread that waits there gets an error
        return MissingReading(f"no answer in {self._timeout_s:g} s")

    def _drop(self, url: str) -> None:
        ours = self._sockets.pop(url, None)
        if ours is not None:
            with suppress(OSError):
                ours.shutdown(socket.SHUT_RDWR)
        kept = self._connections.pop(url, None)
        if kept is not None:
            kept.close()

    def _one(self, target: ScrapeTarget) -> Reading | MissingReading:
        try:
            return parse(self._text(target.url), target.series)
        except TimeoutError:
            return MissingReading(f"no answer in {self._timeout_s:g} s")
        except (OSError, http.client.HTTPException) as error:
            return MissingReading(str(error) or type(error).__name__)
        except (ValueError, KeyError) as error:  # not the format, or not our numbers
            return MissingReading(f"not our metrics: {error}")

    def _text(self, url: str) -> str:
        kept = self._connections.pop(url, None)
        if kept is not None:
            with suppress(ConnectionError, http.client.BadStatusLine):  # it was closed meanwhile
                return self._asked(url, kept)
        place = urlsplit(url)
        made = http.client.HTTPConnection(place.hostname or "", place.port, self._timeout_s)
        made.connect()
        self._sockets[url] = made.sock
        return self._asked(url, made)

    def _asked(self, url: str, connection: http.client.HTTPConnection) -> str:
        try:
            connection.request("GET", METRICS.path, headers=self._headers)
            with connection.getresponse() as answer:
                data = answer.read(_MOST + 1)
        except BaseException:
            connection.close()
            raise
        if connection.sock is not None and answer.isclosed() and len(data) <= _MOST:
            self._connections[url] = connection
        else:
            connection.close()
        if answer.status != http.HTTPStatus.OK:
            raise http.client.HTTPException(f"{answer.status} {answer.reason}")
        if len(data) > _MOST:
            raise ValueError("too long")
        return data.decode()

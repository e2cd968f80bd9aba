"""Scrapes many servers at once. A server that does not answer in time is missing, never zero."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from facemodels.monitoring.metrics.reading import Reading, Series, parse
from facemodels.routes import METRICS

if TYPE_CHECKING:
    import httpx

_MOST = 4_000_000  # bytes of one answer; our servers send 13,000


@dataclass(frozen=True, slots=True)
class ScrapeTarget:
    """A server to scrape.

    Attributes:
        url: its address without a path, for example `http://127.0.0.1:9001`.
        series: the labels of the version that it serves.
        instance: the name of the process; it differs after each start.
        started_s: when it started, in seconds of CLOCK_BOOTTIME; None if that is unknown.
    """

    url: str
    series: Series
    instance: str
    started_s: float | None = None


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


class Scraper:
    """Scrapes servers over connections that it keeps; use it in `with`, in one thread.

    Args:
        timeout_s: the time limit of a whole answer.
        token: a bearer token of the scope `metrics`; "" sends none.
    """

    def __init__(self, timeout_s: float = 0.8, token: str = "") -> None:
        self._timeout_s = timeout_s
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        self._runner = asyncio.Runner()
        self._client: httpx.AsyncClient | None = None

    def __enter__(self) -> Scraper:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        if self._client is not None:
            self._runner.run(self._client.aclose())
        self._runner.close()

    def scrape(self, targets: Sequence[ScrapeTarget]) -> list[Scrape]:
        """Scrape all servers concurrently; it takes no longer than the timeout."""
        return self._runner.run(self._all(targets)) if targets else []

    async def _all(self, targets: Sequence[ScrapeTarget]) -> list[Scrape]:
        if self._client is None:
            import httpx

            # No proxy from environment variables: these are our own servers.
            self._client = httpx.AsyncClient(
                headers=self._headers, timeout=self._timeout_s, trust_env=False
            )
        client = self._client
        return list(await asyncio.gather(*(self._one(client, target) for target in targets)))

    async def _one(self, client: httpx.AsyncClient, target: ScrapeTarget) -> Scrape:
        import httpx

        try:
            async with asyncio.timeout(self._timeout_s):
                text = await _get(client, target.url + METRICS.path)
            return Scrape(target, parse(text, target.series))
        except TimeoutError:
            return Scrape(target, MissingReading(f"no answer in {self._timeout_s:g} s"))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Scrape(target, MissingReading(str(error) or type(error).__name__))
        except (ValueError, KeyError) as error:  # not the format, or not our numbers
            return Scrape(target, MissingReading(f"not our metrics: {error}"))


async def _get(client: httpx.AsyncClient, url: str) -> str:
    async with client.stream("GET", url) as answer:
        answer.raise_for_status()
        data = bytearray()
        async for part in answer.aiter_bytes():
            data += part
            if len(data) > _MOST:
                raise ValueError("too long")
    return data.decode()

"""A Prometheus server as a source of samples.

Prometheus' `rate` and `increase` extrapolate beyond the first and the last sample. So its raw
samples are asked for, and go through the same code as our own scrapes.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import getproxies

from facemodels.errors import ToolError
from facemodels.monitoring.metrics.increase import InstanceReading, lost_reading
from facemodels.monitoring.metrics.reading import (
    GPU_LOAD,
    GPU_MEMORY,
    IN_FLIGHT,
    LOST,
    MEMORY,
    NAMES,
    PREDICTIONS,
    Series,
    from_samples,
)
from facemodels.monitoring.metrics.source import PeakUsage
from facemodels.monitoring.settings import PrometheusAccess

if TYPE_CHECKING:
    import httpx

_LOOK_BACK_S = 300.0  # for the last reading before; longer than the time between scrapes
_AT_ONCE_S = 600.0  # of samples in one answer; a server has 75 series
_KNOWN = "1d"  # how long a server may have been silent
T = TypeVar("T")
_JOBS = 'up{job=~"facemodels.*"}'


class PrometheusSource:
    """Asks a Prometheus server, whose scrapes must carry the labels of `alerts.prometheus`.

    If Prometheus does not answer, or not as it should, the answer is empty and `problem` says why.

    Args:
        url: the base URL, for example `http://127.0.0.1:9090`.
        timeout_s: the time limit of one query.
        settled_s: a server that appears within this time after Prometheus' own start may have
            started before it, so counting starts at its first reading.
        lag_s: the time after which a scrape is surely in the answers; a scrape carries the time of
            its start.
        access: the files with token, headers and certificates.
        root: the folder that those are relative to.

    Attributes:
        problem: why the last answer is empty; "" if nothing is wrong.
    """

    def __init__(
        self,
        url: str,
        timeout_s: float = 5.0,
        settled_s: float = 30.0,
        lag_s: float = 2.0,
        access: PrometheusAccess | None = None,
        root: Path = Path(),
    ) -> None:
        self.problem = ""
        self._url = url
        self._timeout_s, self._settled_s, self._lag_s = timeout_s, settled_s, lag_s
        self._access, self._root = access or PrometheusAccess(), root
        self._opened: httpx.Client | None = None

    def close(self) -> None:
        """Close the connection."""
        if self._opened is not None:
            self._opened.close()

    def _client(self) -> httpx.Client:
        """The client; certificates that cannot be read are an `OSError`, and tried again."""
        import ssl

        import httpx

        if self._opened is None:
            ca = self._access.ca
            verify = ssl.create_default_context(cafile=str(self._root / ca)) if ca else True
            self._opened = httpx.Client(
                base_url=self._url, timeout=self._timeout_s, verify=verify,
                trust_env=not _is_near(self._url),  # no proxy leads to this machine
            )  # fmt: skip
        return self._opened

    def _headers(self) -> dict[str, str]:
        """The headers of a question, from files that may have changed since the last one."""
        found = {}
        if self._access.headers:
            lines = (self._root / self._access.headers).read_text(encoding="utf-8").splitlines()
            pairs = (line.partition(":") for line in lines if line.strip())
            found = {name.strip(): value.strip() for name, _, value in pairs}
        if self._access.token:
            token = (self._root / self._access.token).read_text(encoding="utf-8").strip()
            found["authorization"] = f"Bearer {token}"
        return found

    def now(self) -> float:
        """The time on Prometheus' clock, less `lag_s`.

        Raises:
            ToolError: Prometheus does not answer as it should.
        """
        try:
            return float(self._query("time()")[1]) - self._lag_s
        except (ValueError, TypeError, LookupError) as error:
            raise _wrong(self._url, error) from error

    def readings(
        self, series: Series, since: float, until: float, width_s: float | None = None
    ) -> list[InstanceReading]:
        """The readings of a version's servers, see `SampleSource`; none if Prometheus fails."""
        begin = since - _LOOK_BACK_S
        selected = _selector(series)

        def ask() -> list[InstanceReading]:
            status = f'{PREDICTIONS}{selected[:-1]},status="success"}}'
            before = self._query(f"last_over_time({status}[{_KNOWN}])", begin)
            known = {row["metric"]["instance"] for row in before}
            names = "|".join(NAMES)
            readings: list[InstanceReading] = []
            lost: list[InstanceReading] = []
            for low, high in _spans(begin, until):
                found = self._range(f'{{__name__=~"{names}",{selected[1:]}', low, high)
                readings += _readings(found, series)
                lost += _lost(self._range(f"{LOST}{selected}", low, high))
            every = (*self._with_fresh(readings, known), *lost)
            return sorted(every, key=lambda each: each.time)

        return self._answer(ask, [])

    def peaks(self, series: Series, since: float, until: float) -> PeakUsage | None:
        """The highest usage of a server, see `SampleSource`; None if Prometheus fails."""

        def ask() -> PeakUsage | None:
            most = {}
            for name in (MEMORY, IN_FLIGHT, GPU_LOAD):
                most[name] = self._most(f"{name}{_selector(series)}", since, until)
            # All GPUs of a server are summed at each moment; a sum of peaks would be too high.
            rows = self._range(f"{GPU_MEMORY}{_selector(series)}", since, until)
            sums: dict[tuple[str, float], float] = defaultdict(float)
            for row in rows:
                for at, value in row["values"]:
                    sums[row["metric"]["instance"], at] += float(value)
            memory, in_flight = most[MEMORY], most[IN_FLIGHT]
            if memory is None or in_flight is None:
                return None
            return PeakUsage(memory, in_flight, max(sums.values(), default=None), most[GPU_LOAD])

        return self._answer(ask, None)

    def gauge(
        self, name: str, series: Series, since: float, until: float
    ) -> list[tuple[float, float]]:
        """The times and values of a gauge, see `SampleSource`; none if Prometheus fails."""

        def ask() -> list[tuple[float, float]]:
            rows = self._range(f"{name}{_selector(series)}", since, until)
            return sorted((at, float(value)) for row in rows for at, value in row["values"])

        return self._answer(ask, [])

    def _answer(self, ask: Callable[[], T], without: T) -> T:
        try:
            answer = ask()
        except ToolError as error:
            self.problem = str(error)
            return without
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self.problem = str(_wrong(self._url, error))
            return without
        self.problem = ""
        return answer

    def _with_fresh(
        self, readings: Iterable[InstanceReading], known: set[str]
    ) -> Iterator[InstanceReading]:
        """Mark the first reading of a server that started while Prometheus watched."""
        for each in readings:
            new = each.instance not in known
            known.add(each.instance)
            fresh = new and bool(self._query(_JOBS, each.time - self._settled_s))
            yield replace(each, fresh=fresh)

    def _most(self, selected: str, since: float, until: float) -> float | None:
        values = [
            float(value)
            for row in self._range(selected, since, until)
            for _, value in row["values"]
        ]
        return max(values, default=None)

    def _range(self, selected: str, since: float, until: float) -> list[Any]:
        """The raw samples in (since, until]."""
        length = max(round((until - since) * 1000), 1)
        rows = self._query(f"{selected}[{length}ms]", until)
        # Whether a range includes its start depends on the version of Prometheus.
        for row in rows:
            row["values"] = [pair for pair in row["values"] if since < pair[0] <= until]
        return [row for row in rows if row["values"]]

    def _query(self, query: str, at: float | None = None) -> list[Any]:
        """The result of an instant query.

        Raises:
            ToolError: there is no answer, or it is not Prometheus' answer.
        """
        import httpx

        form = {"query": query} | ({} if at is None else {"time": f"{at:.3f}"})
        try:
            answer = self._client().post("/api/v1/query", data=form, headers=self._headers())
            if answer.status_code in (401, 403):
                raise _wrong(self._url, f"it refuses the token or headers ({answer.status_code})")
            said = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:
            raise _wrong(self._url, error) from error
        if not isinstance(said, dict) or said.get("status") != "success":
            why = said.get("error") if isinstance(said, dict) else said
            raise _wrong(self._url, why)
        try:
            result = said["data"]["result"]
        except (KeyError, TypeError) as error:
            raise _wrong(self._url, f"no result ({error})") from error
        if not isinstance(result, list):
            raise _wrong(self._url, "its result is no list")
        return result


def _spans(begin: float, end: float) -> Iterator[tuple[float, float]]:
    while begin < end:
        yield begin, min(begin + _AT_ONCE_S, end)
        begin += _AT_ONCE_S


def _selector(series: Series) -> str:
    model, version = (part.replace("\\", "\\\\").replace('"', '\\"') for part in series)
    return f'{{model_name="{model}",model_version="{version}"}}'


def _readings(rows: list[Any], series: Series) -> Iterator[InstanceReading]:
    """Make readings from samples; a scrape with a missing sample is left out.

    The samples of one scrape of one server share their time.
    """
    scrapes: dict[tuple[float, str], list[tuple[str, Mapping[str, str], float]]]
    scrapes = defaultdict(list)
    for row in rows:
        labels = row["metric"]
        for at, value in row["values"]:
            scrapes[at, labels["instance"]].append((labels["__name__"], labels, float(value)))
    for (at, instance), samples in sorted(scrapes.items(), key=lambda item: item[0]):
        try:
            reading = from_samples(samples, series)
        except ValueError:
            continue
        yield InstanceReading(at, instance, fresh=False, reading=reading)


def _lost(rows: list[Any]) -> Iterator[InstanceReading]:
    """What the controller says of requests that died inside a server."""
    for row in rows:
        for at, value in row["values"]:
            yield InstanceReading(
                at, f"router of {row['metric']['instance']}", fresh=False,
                reading=lost_reading(int(float(value))),
            )  # fmt: skip


def _is_near(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def shown(url: str) -> str:
    """A URL as people may see it: without its user, password and query."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, place, parts.path, "", ""))


def _wrong(url: object, why: object) -> ToolError:
    parts = urlsplit(str(url))
    told = str(why)
    for secret in (str(url), parts.netloc, unquote(parts.password or ""), parts.password or ""):
        told = told.replace(secret, "…") if secret and "@" in parts.netloc else told
    proxies = "" if _is_near(str(url)) else _proxies()
    return ToolError(
        f"Prometheus at {shown(str(url))} does not answer as it should{proxies}: {told}.",
        'Look whether it runs; `prometheus: ""` in conf/deploy/ scrapes without it.',
    )


def _proxies() -> str:
    """The proxies of the environment by which a request may have gone."""
    names = sorted({urlsplit(one).netloc.rpartition("@")[2] for one in getproxies().values()})
    return f" (by the proxy {', '.join(names)})" if any(names) else ""

"""What the router's own counters tell: requests that died in a server, answers to clients. Pure.

A server that is killed takes along the requests that it was working on, and counts none of them.
The router saw each as a lost connection (502), which no server of ours answers, and repeated it on
another version: the client notices nothing, and the version's own counters know nothing. They are
added to the evidence as readings of an instance of its own, the router.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping

from prometheus_client.parser import text_string_to_metric_families

from facemodels.deployment.router.settings import ENTRY
from facemodels.monitoring.metrics.increase import lost_reading, router_reading
from facemodels.monitoring.metrics.reading import ROUTER, Series
from facemodels.monitoring.metrics.scraper import Scrape, ScrapeTarget

_TOTAL = "traefik_service_requests_total"
_LOST = "502"
_PROVIDER = "@file"
_ANSWERS = "traefik_entrypoint_requests_total"
_CLIENTS = f'entrypoint="{ENTRY}"'
_LEFT = (408, 499)  # the client left, or did not send its body


def lost_requests(text: str, ids: Iterable[str]) -> dict[str, int]:
    """The number of lost requests of each version since the router started.

    Args:
        text: the router's metrics, in Prometheus' format.
        ids: the versions.

    Raises:
        ValueError: the text has another format.
    """
    lines = "".join(f"{line}\n" for line in text.splitlines() if line.startswith(_TOTAL))
    return dict(_lost_in(lines, tuple(ids)))


@functools.lru_cache(maxsize=16)  # nothing is new while nobody asks
def _lost_in(lines: str, ids: tuple[str, ...]) -> Mapping[str, int]:
    found = dict.fromkeys(ids, 0)
    for family in text_string_to_metric_families(lines):
        for sample in family.samples:
            identity = _version_of(sample.labels.get("service", ""), found)
            if identity and sample.labels.get("code") == _LOST:
                found[identity] += int(sample.value)
    return found


def _version_of(service: str, ids: Mapping[str, int]) -> str:
    """The version of a service: `<id>`, or `<id>.<n>` for one of its servers."""
    name = service.removesuffix(_PROVIDER)
    if name in ids:
        return name
    number = re.fullmatch(r"(.+)\.\d+", name)
    return number.group(1) if number and number.group(1) in ids else ""


@functools.lru_cache(maxsize=4)
def _answers_in(lines: str) -> Mapping[str, int]:
    found: dict[str, int] = {}
    for family in text_string_to_metric_families(lines):
        for sample in family.samples:
            code = int(sample.labels["code"])
            status = "success" if code < 400 else "invalid" if code < 500 else "error"
            if code not in _LEFT:
                found[status] = found.get(status, 0) + int(sample.value)
    return found


def answers(text: str) -> Mapping[str, int]:
    """The number of answers to clients since the router started, by how the request ended.

    Args:
        text: the router's metrics, in Prometheus' format.

    Returns:
        The numbers of `success`, of `invalid`, which the client got wrong, and of `error`.

    Raises:
        ValueError: the text has another format.
    """
    kept = (line for line in text.splitlines() if line.startswith(_ANSWERS) and _CLIENTS in line)
    return _answers_in("".join(f"{line}\n" for line in kept))


def answers_as_scrape(
    counts: Mapping[str, int], url: str, router: str, started_s: float | None = None
) -> Scrape:
    """The answers of a router as a reading; the arguments are those of `as_scrapes`."""
    return Scrape(ScrapeTarget(url, ROUTER, f"{router} clients", started_s), router_reading(counts))


def as_scrapes(
    lost: Mapping[str, int], url: str, router: str, started_s: float | None = None
) -> list[Scrape]:
    """The lost requests as readings of the router, for the store of samples.

    Args:
        lost: the number of lost requests since the router's start, by version.
        url: the address of the router's metrics.
        router: names the router's process.
        started_s: when it started, see `ScrapeTarget`.
    """
    return [
        Scrape(
            ScrapeTarget(url, Series.of(identity), f"{router} {identity}", started_s),
            lost_reading(count),
        )
        for identity, count in sorted(lost.items())
    ]

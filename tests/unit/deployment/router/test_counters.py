"""The router counts what no server does: requests that died inside one, answers to clients."""

from __future__ import annotations

from pathlib import Path

from facemodels.deployment.router.counters import (
    answers,
    answers_as_scrape,
    as_scrapes,
    lost_requests,
)
from facemodels.monitoring.metrics.reading import ROUTER, Series
from facemodels.monitoring.metrics.source import tally
from facemodels.monitoring.metrics.store import SampleStore

ONE, TWO = "rec-facenet-v1.1.0", "rec-facenet-v1.2.0"


def page(*counts: tuple[str, str, int]) -> str:
    name = "traefik_service_requests_total"
    rows = (
        f'{name}{{code="{code}",method="POST",protocol="http",service="{service}@file"}} {count}'
        for service, code, count in counts
    )
    return "\n".join([f"# TYPE {name} counter", *rows, "go_goroutines 5", ""])


def test_lost_connections_count_for_the_version_whose_server_died() -> None:
    text = page(
        (ONE, "200", 90), (ONE, "502", 1), (f"{TWO}.0", "502", 2), (f"{TWO}.1", "502", 3),
        (TWO, "500", 7), ("rec-facenet-v1.0.0", "502", 9),
    )  # fmt: skip
    assert lost_requests(text, [ONE, TWO]) == {ONE: 1, TWO: 5}
    assert lost_requests("", [ONE]) == {ONE: 0}


def test_they_are_errors_of_the_version_in_what_the_verdict_reads(tmp_path: Path) -> None:
    store = SampleStore(tmp_path / "samples.db")
    store.put([])
    since = store.now()
    for count in (2, 5):
        store.put(as_scrapes({TWO: count}, "http://127.0.0.1:1", "router@7"))
    found = tally(store, Series.of(TWO), since, store.now())
    assert found is not None
    assert (found.requests, found.errors) == (5, 5)
    store.close()


def test_answers_to_clients_are_counted_by_how_they_ended(tmp_path: Path) -> None:
    def told(**counts: int) -> str:
        name = "traefik_entrypoint_requests_total"
        return "".join(
            f'{name}{{code="{code.strip("c")}",entrypoint="{entry}",method="POST"}} {count}\n'
            for entry, more in (("web", 0), ("traefik", 1000))
            for code, count in ((code, count + more) for code, count in counts.items())
        )

    text = told(c200=90, c201=3, c404=4, c503=2, c502=1, c499=8)
    assert answers(text) == {"success": 93, "invalid": 4, "error": 3}
    store = SampleStore(tmp_path / "samples.db")
    store.put([])
    since = store.now()
    store.put([answers_as_scrape(answers(text), "http://127.0.0.1:1", "router@7")])
    found = tally(store, ROUTER, since, store.now())
    assert found is not None
    assert (found.requests, found.errors) == (96, 3)
    store.close()

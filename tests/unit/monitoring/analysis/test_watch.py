"""From samples to judgements; the samples are of a real store, their times given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from facemodels.monitoring.analysis.watch import Watch, as_record
from facemodels.monitoring.metrics.reading import PROBE, Reading, Series, parse
from facemodels.monitoring.metrics.scraper import MissingReading, Scrape, ScrapeTarget
from facemodels.monitoring.metrics.store import SampleStore
from facemodels.monitoring.served import ServedModel, ServedVersion
from facemodels.monitoring.settings import Triggers, VerdictSettings
from facemodels.serving.metrics import Metrics

V1, V2, MODEL = "rec-facenet-v1.0.0", "rec-facenet-v2.0.0", "recognition-facenet"
BEGAN = 1_000_000


class World:
    """Two servers whose real metrics are scraped each second of a clock that stands still."""

    def __init__(self, path: Path) -> None:
        self.time = float(BEGAN)
        self.store = SampleStore(path, wall=lambda: self.time, elapsed=lambda: self.time)
        self.metrics = {one: Metrics(MODEL, one.rpartition("-v")[2], "d") for one in (V1, V2)}
        self.silent: set[str] = set()
        self.store.put([])

    def second(self, v1: tuple[int, int], v2: tuple[int, int], took_s: float = 0.02) -> None:
        """One second of good and bad answers of each, and a scrape."""

        scrapes = []
        for identity, (good, bad) in ((V1, v1), (V2, v2)):
            metrics = self.metrics[identity]
            for status, count in (("success", good), ("error", bad)):
                for _ in range(count):
                    metrics.count(status)
                    metrics.answered(took_s)
            series = Series.of(identity)
            target = ScrapeTarget("http://127.0.0.1:1", series, identity)
            text = generate_latest(metrics.registry).decode()
            away = identity in self.silent
            scrapes.append(
                Scrape(target, MissingReading("away") if away else reading(text, series))
            )
        self.time += 1
        self.store.put(scrapes)


def reading(text: str, series: Series) -> Reading | MissingReading:
    """What a server of 300 MB says; the process of these tests may be far larger."""
    found = parse(text, series)
    return replace(found, memory_bytes=300e6) if isinstance(found, Reading) else found


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "samples.db")
    yield made
    made.store.close()


def served(rollout: bool = True) -> list[ServedModel]:
    stable = ServedVersion(V1, "stable", 90, "tag-1", BEGAN, "A <a@b>", "why")
    beside = ServedVersion(V2, "canary", 10, "tag-2", BEGAN, "A <a@b>", "why")
    return [ServedModel(MODEL, stable, beside if rollout else None)]


def watch(world: World, triggers: Triggers | None = None) -> Watch:
    return Watch(world.store, VerdictSettings(), triggers or Triggers(), scrape_interval_s=1.0)


def test_a_canary_that_fails_half_is_condemned_after_a_few_scrapes(world: World) -> None:
    eyes = watch(world)
    for _ in range(10):
        world.second((45, 0), (3, 2))
        verdict = eyes.assess(served())[MODEL].verdict
        assert verdict is not None
        if verdict.answer == "roll back":
            break
    assert verdict.answer == "roll back"
    assert as_record(eyes.assess(served())[MODEL])["verdict"]["answer"] == "roll back"


def test_the_same_samples_give_the_same_verdict_after_a_restart(world: World) -> None:
    eyes = watch(world)
    for number in range(40):
        world.second((45, number % 7 == 0), (5, number % 9 == 0))
        before = eyes.assess(served())[MODEL]
    assert watch(world).assess(served())[MODEL] == before


def test_a_canary_without_numbers_is_held_and_told_and_never_promoted(world: World) -> None:
    eyes = watch(world)
    world.silent = {V2}
    answers = set()
    for _ in range(60):
        world.second((45, 0), (5, 0))
        verdict = eyes.assess(served())[MODEL].verdict
        assert verdict is not None
        answers.add(verdict.answer)
    assert answers == {"hold"}
    assert verdict.alarm


def test_a_version_alone_fires_its_trigger_and_a_good_one_none(world: World) -> None:
    eyes = watch(world)
    for _ in range(30):
        world.second((20, 0), (0, 0))
    assert eyes.assess(served(rollout=False))[MODEL].fired == ()
    for _ in range(30):
        world.second((10, 10), (0, 0))
    [fired] = eyes.assess(served(rollout=False))[MODEL].fired
    assert fired.trigger == "error_rate_threshold"


def test_memory_above_its_threshold_fires_once_it_stays_there(world: World) -> None:
    eyes = watch(world, Triggers(memory_threshold_mb=299))
    world.second((20, 0), (0, 0))
    world.second((20, 0), (0, 0))
    assert eyes.assess(served(rollout=False))[MODEL].fired == ()
    for _ in range(40):
        world.second((20, 0), (0, 0))
    [fired] = eyes.assess(served(rollout=False))[MODEL].fired
    assert fired.trigger == "memory_threshold_mb"


def test_a_drop_of_accuracy_on_the_probes_takes_a_canary_back(world: World) -> None:
    eyes = watch(world)
    world.second((45, 0), (5, 0))
    world.store.put_gauge(f"{PROBE}accuracy", Series.of(V1), 0.95)
    world.store.put_gauge(f"{PROBE}accuracy", Series.of(V2), 0.90)
    world.second((45, 0), (5, 0))
    verdict = eyes.assess(served())[MODEL].verdict
    assert verdict is not None
    assert verdict.answer == "roll back"
    assert "accuracy" in verdict.reasons[0]

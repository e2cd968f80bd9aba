"""From served versions and samples to an observation; the samples are of a real store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from facemodels.monitoring.analysis.watch import Watch
from facemodels.monitoring.metrics.reading import Series, parse
from facemodels.monitoring.metrics.scraper import Scrape, ScrapeTarget
from facemodels.monitoring.metrics.source import total_increase
from facemodels.monitoring.metrics.store import SampleStore
from facemodels.monitoring.report.observe import HourlyPrices, ObservedSpan, VersionObserver
from facemodels.monitoring.served import ServedModel, ServedVersion
from facemodels.monitoring.settings import Triggers, VerdictSettings
from facemodels.names import ModelId
from facemodels.registry.state import State
from facemodels.serving.metrics import Metrics

V1, V2, MODEL = "rec-facenet-v1.0.0", "rec-facenet-v2.0.0", "recognition-facenet"
BEGAN = 1_000_000.0
STABLE = ServedVersion(V1, "stable", 90, "tag-1", BEGAN, "A <a@b>", "first")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SampleStore]:
    """Both versions answer ten requests a second for ten seconds; one of the canary's fails.

    Every second a user reports a decision of the canary as wrong, and one of the other as right.
    """
    time = BEGAN
    made = SampleStore(tmp_path / "samples.db", wall=lambda: time, elapsed=lambda: time)
    metrics = {one: Metrics(MODEL, one.rpartition("-v")[2], "d") for one in (V1, V2)}
    made.put([])
    for second in range(10):
        time += 1
        scrapes = []
        for identity, counted in metrics.items():
            for number in range(10):
                failed = identity == V2 and number == 0
                counted.count("error" if failed else "success")
                counted.answered(0.02)
            said, verdict = counted.feedback, "wrong" if identity == V2 else "right"
            said.answered(f"{second}", True)
            said.judge(f"{second}", "a", score=None, verdict=verdict, per_hour=99)
            series = Series.of(identity)
            text = generate_latest(counted.registry).decode()
            scrapes.append(
                Scrape(ScrapeTarget("http://127.0.0.1:1", series, identity), parse(text, series))
            )
        made.put(scrapes)
    yield made
    made.close()


def observer(
    store: SampleStore, folder: Path, watched: str = V2, triggers: Triggers | None = None
) -> VersionObserver:
    return VersionObserver(
        store,
        Watch(store, VerdictSettings(), triggers or Triggers(), scrape_interval_s=1.0),
        folder=folder,
        environment="production",
        model=ModelId.parse(watched),
        span=ObservedSpan(BEGAN, BEGAN + 60),
        prices=HourlyPrices(server=3.6),
    )


def rollout(role: str) -> ServedModel:
    candidate = ServedVersion(V2, role, 10, "tag-2", BEGAN, "B <b@c>", "second")
    return ServedModel(MODEL, STABLE, candidate)


def test_a_canary_is_seen_beside_the_stable_version(store: SampleStore, tmp_path: Path) -> None:
    seen = observer(store, tmp_path).look(rollout("canary"), State(), curves=True)
    ours, theirs = seen.versions
    assert (ours.model_id, ours.role, ours.percent) == (V2, "canary", 10)
    assert (theirs.model_id, theirs.role, theirs.percent) == (V1, "stable", 90)
    assert (ours.requests, ours.error_rate, theirs.error_rate) == (100, 0.1, 0.0)
    assert ours.cost_per_1000 == pytest.approx(1000 * 3.6 * 10 / 3600 / 90)
    assert len(ours.series["error_rate"].times) == 5
    assert seen.verdict is not None
    assert seen.verdict["answer"] in ("hold", "roll back")
    assert seen.rollout is not None
    assert (seen.rollout.strategy, seen.rollout.by) == ("canary", "B <b@c>")
    assert (seen.arms, seen.agreement, seen.notes) == (None, None, ())


def test_the_arms_of_an_ab_test_are_compared(store: SampleStore, tmp_path: Path) -> None:
    seen = observer(store, tmp_path).look(rollout("ab"), State())
    assert seen.arms is not None
    assert seen.arms.success is not None


def test_a_shadows_agreement_is_that_of_the_last_replay(store: SampleStore, tmp_path: Path) -> None:
    told = {"agreement": {"with": V1, "compared": 8, "agreed": 7}}
    (tmp_path / f"{V2}.json").write_text(json.dumps(told), encoding="utf-8")
    seen = observer(store, tmp_path).look(rollout("shadow"), State())
    assert seen.agreement is not None
    assert (seen.agreement.compared, seen.agreement.agreed) == (8, 7)


def test_a_version_in_production_is_promoted_as_long_as_no_trigger_fires(
    store: SampleStore, tmp_path: Path
) -> None:
    served = ServedModel(MODEL, STABLE, warm=(V2,))
    seen = observer(store, tmp_path, V1).look(served, State())
    assert seen.verdict is not None
    assert seen.verdict["answer"] == "promote"
    warm = observer(store, tmp_path, V2).look(served, State())
    assert [one.role for one in warm.versions] == ["warm", "stable"]


def test_a_version_in_production_that_fires_a_trigger_is_to_be_rolled_back(
    store: SampleStore, tmp_path: Path
) -> None:
    triggers = Triggers(error_rate_threshold=0.001)  # a tenth of its requests fails
    watching = observer(store, tmp_path, V2, triggers)
    served = ServedModel(MODEL, replace(STABLE, id=V2))
    seen = watching.look(served, State())
    assert seen.verdict is not None
    assert seen.verdict["answer"] == "roll back"
    assert seen.verdict["alarm"] is False
    assert "requests failed" in seen.verdict["reasons"][0]


def test_what_users_say_is_told_with_its_interval_and_can_take_a_version_back(
    store: SampleStore, tmp_path: Path
) -> None:
    ours, theirs = observer(store, tmp_path).look(rollout("canary"), State()).versions
    assert ours.satisfaction is not None
    assert theirs.satisfaction is not None
    assert (ours.satisfaction.answers, ours.satisfaction.interval.value) == (10, 0.0)
    assert ours.satisfaction.interval.high < theirs.satisfaction.interval.low
    assert ours.false_match is not None
    assert ours.false_match.interval.value == 1.0
    assert ours.false_non_match is None
    for triggers in (Triggers(satisfaction_threshold=0.9), Triggers(false_match_threshold=0.1)):
        seen = observer(store, tmp_path, V2, triggers).look(rollout("canary"), State())
        assert seen.verdict is not None
        assert seen.verdict["answer"] == "roll back"
        alone = observer(store, tmp_path, V1, triggers)
        assert alone.look(ServedModel(MODEL, STABLE), State()).verdict["answer"] == "promote"  # type: ignore[index]


def test_an_inference_costs_what_it_used_where_a_core_has_a_price(
    store: SampleStore, tmp_path: Path
) -> None:
    made = observer(store, tmp_path)
    made._prices = HourlyPrices(server=3.6, core=3600.0, gpu=1.0)
    ours = made.look(rollout("canary"), State()).versions[0]
    done = total_increase(store, Series.of(V2), BEGAN, store.now())
    assert done is not None
    assert done.side.cpu_s > 0
    assert ours.cost_per_1000 == pytest.approx(1000 * done.side.cpu_s / 90)


def test_a_version_that_is_not_served_is_told(store: SampleStore, tmp_path: Path) -> None:
    seen = observer(store, tmp_path).look(None, State())
    assert seen.notes == (f"{V2} does not run in production.",)
    assert (seen.versions[0].role, seen.verdict, seen.rollout) == ("absent", None, None)

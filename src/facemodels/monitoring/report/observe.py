"""Makes an observation of a version from samples, served versions and the registry's events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facemodels.monitoring.analysis.lean import Leaning, leaning
from facemodels.monitoring.analysis.verdict import decide
from facemodels.monitoring.analysis.watch import ModelAssessment, Watch
from facemodels.monitoring.metrics import measures
from facemodels.monitoring.metrics.increase import Increase
from facemodels.monitoring.metrics.reading import NOTHING_BESIDE, PROBE, ROUTER, Series
from facemodels.monitoring.metrics.source import SampleSource, total_increase, windows
from facemodels.monitoring.metrics.windows import Tally
from facemodels.monitoring.probes.result import RATES
from facemodels.monitoring.report.ab_test import ArmComparison, compare_arms, share
from facemodels.monitoring.report.observation import (
    Agreement,
    CountedShare,
    Curve,
    Observation,
    RolloutProgress,
    VersionFigures,
)
from facemodels.monitoring.served import ServedModel
from facemodels.names import ModelId
from facemodels.registry.events import Event
from facemodels.registry.state import ROLLOUT, State

_POINTS = 120  # of one curve
_MB = 1e6


@dataclass(frozen=True)
class HourlyPrices:
    """What is paid for an hour, in any currency; 0 where it is not known.

    Attributes:
        server: one server, whatever it does.
        core: one processor core.
        gpu: one GPU.
    """

    server: float = 0.0
    core: float = 0.0
    gpu: float = 0.0


@dataclass(frozen=True)
class ObservedSpan:
    """The time that is observed.

    Attributes:
        began: the start, seconds since 1970.
        until: the end, seconds since 1970.
    """

    began: float
    until: float


class VersionObserver:
    """Observes one version and the versions beside it.

    Args:
        source: where the samples come from.
        watch: the watch that assesses the model; it reads the same source.
        folder: the folder of the replays' results, `<id>.json` each.
        environment: the environment's name, `staging` or `production`.
        model: the version that is observed.
        span: the time that is observed.
        scrape_interval_s: the time between two looks at the metrics.
        prices: what servers, cores and GPUs cost.
        replicas: the number of servers of a version.
    """

    def __init__(
        self,
        source: SampleSource,
        watch: Watch,
        *,
        folder: Path,
        environment: str,
        model: ModelId,
        span: ObservedSpan,
        scrape_interval_s: float = 1.0,
        prices: HourlyPrices | None = None,
        replicas: int = 1,
    ) -> None:
        self._source = source
        self._watch = watch
        self._folder = folder
        self._environment = environment
        self._model = model
        self._span = span
        self._scrape_interval_s = scrape_interval_s
        self._prices = prices or HourlyPrices()
        self._replicas = replicas

    def look(
        self, served: ServedModel | None, state: State, *, curves: bool = False
    ) -> Observation:
        """The observation from the start of the span until now.

        Args:
            served: the versions of the model that the environment serves; None if it serves none.
            state: the state of the registry.
            curves: whether to compute every figure over time as well, which takes longer.
        """
        name, identity = str(self._model.name), str(self._model)
        now = min(self._source.now(), self._span.until)
        assessment = self._watch.assess([served])[name] if served else None
        receiving = served.receiving if served else ()
        ids = list(dict.fromkeys((identity, *(one.id for one in receiving))))
        ended = ending(state, self._model, self._span.began)
        seen = tuple(self._seen(one, served, now, curves=curves) for one in ids)
        strategy = served.candidate.role if served and served.candidate else ""
        return Observation(
            model=name,
            model_id=identity,
            environment=self._environment,
            began=self._span.began,
            now=now,
            until=self._span.until,
            versions=seen,
            verdict=_verdict(identity, served, assessment, ended),
            rollout=_progress(served),
            arms=self._arms(ids, now) if strategy == "ab" and len(ids) == 2 else None,
            agreement=self._agreement(identity) if strategy == "shadow" else None,
            answered=self._answered(now),
            leaning=_leaning(identity, served, assessment, now),
            notes=tuple(self._notes(served)),
        )

    def _answered(self, now: float) -> CountedShare | None:
        """How many requests of clients the routers answered, from their own counters."""
        done = total_increase(self._source, ROUTER, self._span.began, now)
        if done is None:
            return None
        return _counted(done.tally.requests - done.tally.errors, done.tally.requests)

    def _notes(self, served: ServedModel | None) -> Iterator[str]:
        if served is None or str(self._model) not in served.ids:
            yield f"{self._model} does not run in {self._environment}."
        if self._source.problem:
            yield self._source.problem

    def _seen(
        self, identity: str, served: ServedModel | None, now: float, *, curves: bool
    ) -> VersionFigures:
        series, began = Series.of(identity), self._span.began
        done = total_increase(self._source, series, began, now)
        counts = done.tally if done else Tally(0, 0)
        said = done.side if done else NOTHING_BESIDE
        peaks = self._source.peaks(series, began, now)
        seconds = max(now - began, 1e-9)
        return VersionFigures(
            model_id=identity,
            role=_role(identity, served),
            percent=_percent(identity, served),
            requests=counts.requests,
            success_rate=measures.success_rate(counts),
            **_figures(counts),
            requests_per_s=measures.throughput(counts, seconds),
            memory_mb=_mb(peaks.memory_bytes if peaks else None),
            gpu_utilization=peaks.gpu_load if peaks else None,
            gpu_memory_mb=_mb(peaks.gpu_memory_bytes if peaks else None),
            cost_per_1000=self._cost(
                seconds, done or Increase(), gpu=peaks is not None and peaks.gpu_load is not None
            ),
            satisfaction=_counted(said.score_sum, said.scores),
            false_match=_counted(said.false_matches, said.false_matches + said.true_non_matches),
            false_non_match=_counted(
                said.false_non_matches, said.false_non_matches + said.true_matches
            ),
            accuracy=self._accuracy(series, now),
            series=self._curves(series, now) if curves else {},
        )  # fmt: skip

    def _cost(self, seconds: float, done: Increase, *, gpu: bool) -> float | None:
        """By what the servers used, if a core or a GPU has a price; else by their time."""
        prices = self._prices
        if prices.core or prices.gpu:
            gpu_s = done.inference.sum if gpu else 0.0
            return measures.cost_of_use_per_1000(
                prices.core, prices.gpu, done.side.cpu_s, gpu_s, done.inferences
            )
        if not prices.server:
            return None
        return measures.cost_per_1000(prices.server, self._replicas, seconds, done.inferences)

    def _accuracy(self, series: Series, now: float) -> dict[str, float | None] | None:
        found: dict[str, float | None] = {}
        for name in RATES:
            values = self._source.gauge(f"{PROBE}{name}", series, self._span.began, now)
            found[name] = values[-1][1] if values else None
        return found if any(value is not None for value in found.values()) else None

    def _curves(self, series: Series, now: float) -> dict[str, Curve]:
        """Every figure over time, in windows that are wide enough to hold scrapes."""
        width = max((now - self._span.began) / _POINTS, 2 * self._scrape_interval_s)
        found = windows(self._source, series, series, self._span.began, now, width)
        times = tuple(window.end for window in found)
        rows: dict[str, list[float | None]] = {}
        for window in found:
            counts = window.canary
            values: dict[str, float | None] = dict(_figures(counts or Tally(0, 0)))
            values["requests_per_s"] = measures.throughput(counts, width) if counts else None
            peaks = self._source.peaks(series, window.start, window.end)
            values["memory_mb"] = _mb(peaks.memory_bytes if peaks else None)
            for name, value in values.items():
                rows.setdefault(name, []).append(value)
        curves = {name: Curve(times, tuple(values)) for name, values in rows.items()}
        points = self._source.gauge(f"{PROBE}accuracy", series, self._span.began, now)
        if points:
            curves["accuracy"] = Curve(
                tuple(at for at, _ in points), tuple(value for _, value in points)
            )
        return curves

    def _arms(self, ids: list[str], now: float) -> ArmComparison | None:
        began = self._span.began
        found = [total_increase(self._source, Series.of(one), began, now) for one in ids]
        first, second = (one or Increase() for one in found)
        return compare_arms(first.tally, second.tally, said=(first.side, second.side))

    def _agreement(self, identity: str) -> Agreement | None:
        """How far the answers to the probes agree; the router drops a shadow's other answers."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            found = json.loads((self._folder / f"{identity}.json").read_bytes())["agreement"]
            return Agreement(int(found["compared"]), int(found["agreed"]))
        return None


def ending(state: State, model: ModelId, since: float) -> Event | None:
    """The last event since some time that ended a rollout of the version's model; None without.

    Args:
        state: the state of the registry.
        model: the version.
        since: seconds since 1970.
    """
    for event in reversed(state.events):
        if event.time < since:
            return None
        stage = event.name.stage
        if event.name.model != str(model.name) or stage not in ("production", ROLLOUT):
            continue
        if stage == "production" or event.name.act == "unassign":
            return event
    return None


def _verdict(
    identity: str,
    served: ServedModel | None,
    assessment: ModelAssessment | None,
    ended: Event | None,
) -> dict[str, Any] | None:
    """The verdict of the test while the rollout goes on, and afterwards what ended it."""
    candidate = served.candidate if served else None
    if candidate is not None and candidate.id == identity and assessment and assessment.verdict:
        return assessment.verdict.as_json()
    if served is not None and served.stable.id == identity and assessment is not None:
        alone = decide((), fired=assessment.fired)
        words = f"in production by {ended.tag}" if ended else "in production; no trigger fires"
        return {"answer": alone.answer, "reasons": list(alone.reasons) or [words], "alarm": False}
    if ended is not None:
        reason = ended.reason or ended.act
        return {"answer": "roll back", "reasons": [f"{ended.tag}: {reason}"], "alarm": False}
    return None


def _leaning(
    identity: str, served: ServedModel | None, assessment: ModelAssessment | None, now: float
) -> Leaning | None:
    """Which way the test leans that goes on, if the version is the one that is tested."""
    candidate = served.candidate if served else None
    if candidate is None or candidate.id != identity or not assessment or not assessment.verdict:
        return None
    return leaning(assessment.verdict, now - candidate.since)


def _counted(part: float, whole: float) -> CountedShare | None:
    found = share(part, whole)
    return None if found is None else CountedShare(found, round(whole))


def _mb(size: float | None) -> float | None:
    return None if size is None else size / _MB


def _progress(served: ServedModel | None) -> RolloutProgress | None:
    if served is None:
        return None
    stable, candidate = served.stable, served.candidate
    if candidate is None:
        return RolloutProgress("", 0, stable.since, stable.by, stable.reason)
    return RolloutProgress(
        candidate.role, candidate.percent, candidate.since, candidate.by, candidate.reason
    )


def _role(identity: str, served: ServedModel | None) -> str:
    if served is None:
        return "absent"
    roles = {one.id: one.role for one in reversed(served.receiving)}
    return roles.get(identity, "warm" if identity in served.warm else "absent")


def _percent(identity: str, served: ServedModel | None) -> float:
    percents = {one.id: one.percent for one in served.receiving} if served else {}
    return percents.get(identity, 0)


def _figures(counts: Tally) -> dict[str, float | None]:
    quantiles = {f"p{round(100 * q)}_ms": measures.quantile(counts, q) for q in (0.5, 0.95, 0.99)}
    rate = counts.errors / counts.requests if counts.requests else None
    return {
        "error_rate": rate,
        **{name: None if value is None else 1e3 * value for name, value in quantiles.items()},
    }

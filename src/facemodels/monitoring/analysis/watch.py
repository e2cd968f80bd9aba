"""The watcher: scrapes, keeps the samples, and says what they mean for each version."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from facemodels.monitoring.analysis import FiredTrigger, SequentialTest, Verdict, fired_triggers
from facemodels.monitoring.metrics.reading import PROBE, Series
from facemodels.monitoring.metrics.source import SampleSource, memory, windows
from facemodels.monitoring.metrics.windows import Tally
from facemodels.monitoring.served import ServedModel, ServedVersion
from facemodels.monitoring.settings import Triggers, VerdictSettings

_MB = 1e6
_SUSTAINED_S = 30.0  # that memory must be above its threshold


@dataclass(frozen=True)
class ModelAssessment:
    """What the numbers say of one model.

    Attributes:
        model: for example `recognition-facenet`.
        rollout: the event of the rollout that was judged; "" without one.
        verdict: on the version on its way; None without one.
        fired: triggers that the version in production fires.
    """

    model: str
    rollout: str
    verdict: Verdict | None
    fired: tuple[FiredTrigger, ...] = ()


@dataclass
class _Case:
    """One rollout that is judged, as far as its windows were seen."""

    evidence: SequentialTest
    until: float


@dataclass
class _Own:
    """What one version did by itself."""

    since: float
    until: float
    tallies: deque[Tally]
    memory: deque[float | None]


class Watch:
    """Judges every model of an environment, again and again.

    What it knows is made anew from the samples after a restart.

    Args:
        source: where the samples come from.
        settings: of the sequential test.
        triggers: the rollback triggers of the repository.
        scrape_interval_s: the time between two looks at the metrics.
    """

    def __init__(
        self,
        source: SampleSource,
        settings: VerdictSettings,
        triggers: Triggers,
        scrape_interval_s: float,
    ) -> None:
        self._source = source
        self._settings = settings
        self._triggers = triggers
        self._scrape_interval_s = scrape_interval_s
        self._cases: dict[str, _Case] = {}
        self._alone: dict[str, _Own] = {}
        self._width_s = 0.0  # of the windows of `_alone`

    def configure(self, settings: VerdictSettings, scrape_interval_s: float) -> None:
        """Take over changed settings. A rollout that is being judged keeps the ones it began with.

        Bounds that move while the evidence comes in would keep no error rate.
        """
        self._settings = settings
        self._scrape_interval_s = scrape_interval_s

    def judge(self, served: Sequence[ServedModel]) -> dict[str, ModelAssessment]:
        """What the numbers until now say, by model."""
        # A window is wider than the time between two scrapes, or it could be empty.
        width_s = 2 * self._scrape_interval_s
        if width_s != self._width_s:
            self._width_s = width_s
            self._alone.clear()  # its windows had another width
        running = {one.candidate.event for one in served if one.candidate}
        for event in self._cases.keys() - running:
            del self._cases[event]
        ids = {identity for one in served for identity in one.ids}
        for identity in self._alone.keys() - ids:
            del self._alone[identity]
        return {one.model: self._judge(one) for one in served}

    def _judge(self, served: ServedModel) -> ModelAssessment:
        now = self._source.now()
        stable, candidate = served.stable, served.candidate
        tripped = self._fired(stable.id, stable.since, now, None)
        if candidate is None:
            return ModelAssessment(served.model, "", None, tripped)
        case = self._case(candidate, now)
        found = windows(
            self._source, Series.of(candidate.id), Series.of(stable.id),
            case.until, now, self._width_s,
        )  # fmt: skip
        for window in found:
            case.evidence.add(window)
            case.until = window.end
        verdict = case.evidence.verdict(now)
        own = self._fired(candidate.id, candidate.since, now, stable.id)
        return ModelAssessment(served.model, candidate.event, verdict.after(own), tripped)

    def _case(self, candidate: ServedVersion, now: float) -> _Case:
        # Another machine's clock may be ahead of the samples', or ours was set back.
        since = min(float(candidate.since), now)
        return self._cases.setdefault(
            candidate.event, _Case(SequentialTest(self._settings, since), since)
        )

    def _fired(
        self, identity: str, since: float, now: float, reference: str | None
    ) -> tuple[FiredTrigger, ...]:
        """Triggers that one version fires by itself, from when it began to serve."""
        series = Series.of(identity)
        own = self._own(identity, since, now)
        for window in windows(self._source, series, series, own.until, now, self._width_s):
            own.until = window.end
            own.memory.append(memory(self._source, series, window.start, window.end))
            if window.canary is not None:
                own.tallies.append(window.canary)
        readings = [value / _MB for value in own.memory if value is not None]
        return fired_triggers(
            self._triggers,
            list(own.tallies),
            window_s=self._width_s,
            memory_mb=readings if len(readings) == len(own.memory) else (),
            accuracy=self._accuracy(series, reference, now) if reference else None,
        )

    def _own(self, identity: str, since: float, now: float) -> _Own:
        """What is known of a version; of its last time in this place, which began at `since`."""
        span = 60 * self._triggers.monitoring_window_minutes
        known = self._alone.get(identity)
        if known is None or known.since != since:
            known = _Own(
                since,
                max(min(since, now), now - span),
                deque(maxlen=round(span / self._width_s) or 1),
                deque(maxlen=max(3, round(_SUSTAINED_S / self._width_s))),
            )
            self._alone[identity] = known
        return known

    def _accuracy(self, series: Series, reference: str, now: float) -> tuple[float, float] | None:
        """On the probes: of the version beside it, and of this one."""
        ours = latest_accuracy(self._source, series, now)
        theirs = latest_accuracy(self._source, Series.of(reference), now)
        return None if ours is None or theirs is None else (theirs, ours)


def latest_accuracy(source: SampleSource, series: Series, now: float) -> float | None:
    """Of the last complete replay in a day; None if there was none."""
    found: Sequence[tuple[float, float]] = source.gauge(
        f"{PROBE}accuracy", series, now - 86400, now
    )
    return found[-1][1] if found else None


def as_record(judgement: ModelAssessment) -> dict[str, Any]:
    """What the event of a rollback or a promotion says of its grounds."""
    verdict = judgement.verdict.as_json() if judgement.verdict else None
    return {"verdict": verdict, "fired": [one.as_json() for one in judgement.fired]}

"""The watcher: scrapes, keeps the samples, and says what they mean for each version."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from facemodels.deployment.desired import Desired, Rollout
from facemodels.deployment.settings import Environment
from facemodels.monitoring.analysis import Evidence, Fired, Verdict, fired
from facemodels.monitoring.metrics.reading import Series
from facemodels.monitoring.metrics.source import Source, memory, windows
from facemodels.monitoring.metrics.windows import Tally
from facemodels.monitoring.triggers import Triggers

_MB = 1e6
_SUSTAINED_S = 30.0  # that memory must be above its threshold
PROBE = "facemodels_probe_"  # and accuracy, precision, …: what the probes show


@dataclass(frozen=True)
class Judgement:
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
    fired: tuple[Fired, ...] = ()


@dataclass
class _Case:
    """One rollout that is judged, as far as its windows were seen."""

    evidence: Evidence
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
        source: of the samples.
        settings: of the environment.
        triggers: of the repository.
    """

    def __init__(self, source: Source, settings: Environment, triggers: Triggers) -> None:
        self._source = source
        self._settings = settings
        self._triggers = triggers
        self._cases: dict[str, _Case] = {}
        self._alone: dict[str, _Own] = {}
        # Wider than the scrapes are apart, or windows would be empty.
        self._width_s = 2 * settings.scrape_interval_s

    def configure(self, settings: Environment) -> None:
        """Take over changed settings; a rollout that is judged already keeps its own.

        Bounds that move while the evidence comes in would keep no error rate.
        """
        self._settings = settings

    def judge(self, wanted: Mapping[str, Desired]) -> dict[str, Judgement]:
        """What the numbers until now say, by model."""
        if self._width_s != 2 * self._settings.scrape_interval_s:
            self._width_s = 2 * self._settings.scrape_interval_s
            self._alone.clear()  # its windows have another width
        running = {one.rollout.event for one in wanted.values() if one.rollout}
        for event in self._cases.keys() - running:
            del self._cases[event]
        ids = {identity for one in wanted.values() for identity in one.ids}
        for identity in self._alone.keys() - ids:
            del self._alone[identity]
        return {model: self._judge(one) for model, one in wanted.items()}

    def _judge(self, wanted: Desired) -> Judgement:
        now = self._source.now()
        tripped = self._fired(wanted.stable, wanted.since, now, None)
        rollout = wanted.rollout
        if rollout is None:
            return Judgement(wanted.model, "", None, tripped)
        case = self._case(rollout, now)
        found = windows(
            self._source, Series.of(rollout.id), Series.of(wanted.stable),
            case.until, now, self._width_s,
        )  # fmt: skip
        for window in found:
            case.evidence.add(window)
            case.until = window.end
        verdict = case.evidence.verdict(now)
        own = self._fired(rollout.id, rollout.since, now, wanted.stable)
        return Judgement(wanted.model, rollout.event, verdict.after(own), tripped)

    def _case(self, rollout: Rollout, now: float) -> _Case:
        # Another machine's clock may be ahead of the samples', or ours was set back.
        since = min(float(rollout.since), now)
        return self._cases.setdefault(
            rollout.event, _Case(Evidence(self._settings.verdict, since), since)
        )

    def _fired(
        self, identity: str, since: float, now: float, reference: str | None
    ) -> tuple[Fired, ...]:
        """Triggers that one version fires by itself, from when it began to serve."""
        series = Series.of(identity)
        own = self._own(identity, since, now)
        for window in windows(self._source, series, series, own.until, now, self._width_s):
            own.until = window.end
            own.memory.append(memory(self._source, series, window.start, window.end))
            if window.canary is not None:
                own.tallies.append(window.canary)
        readings = [value / _MB for value in own.memory if value is not None]
        return fired(
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


def latest_accuracy(source: Source, series: Series, now: float) -> float | None:
    """Of the last complete replay in a day; None if there was none."""
    found: Sequence[tuple[float, float]] = source.gauge(
        f"{PROBE}accuracy", series, now - 86400, now
    )
    return found[-1][1] if found else None


def as_record(judgement: Judgement) -> dict[str, Any]:
    """What the event of a rollback or a promotion says of its grounds."""
    verdict = judgement.verdict.as_json() if judgement.verdict else None
    return {"verdict": verdict, "fired": [one.as_json() for one in judgement.fired]}
